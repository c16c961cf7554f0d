package centrifuge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestRegistry compares the registry with plain maps, while users get more and
// fewer connections than a slice holds.
func TestRegistry(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // no secret
	r := newRegistry()
	users := []string{"", "a", "b"}
	model := make(map[*Client]bool) // whether it is known by its user
	var clients []*Client
	for step := range 5_000 {
		growing := step/1_000%2 == 0
		if len(clients) == 0 || growing == (random.IntN(4) > 0) {
			c := &Client{id: fmt.Sprint("c", step), user: users[random.IntN(len(users))]}
			r.add(c)
			if c.user == "b" {
				c.rareLocked().session = "s" + c.id
				r.addSession(c, "s"+c.id)
			}
			model[c] = r.addUser(c, 100)
			clients = append(clients, c)
		} else {
			i := random.IntN(len(clients))
			c := clients[i]
			clients = slices.Delete(clients, i, i+1)
			r.removeUser(c, c.user)
			r.remove(c)
			delete(model, c)
		}
		if step%50 == 0 {
			compareRegistry(t, r, users, model)
		}
	}
	for c := range model {
		r.remove(c)
	}
	compareRegistry(t, r, users, map[*Client]bool{})
	select {
	case <-r.empty:
	default:
		t.Error("the registry does not tell that it is empty; want it told")
	}
}

func compareRegistry(t *testing.T, r *registry, users []string, model map[*Client]bool) {
	t.Helper()
	counts := make(map[string]int)
	known := 0
	for c, added := range model {
		if r.client(c.id) != c || c.user == "b" && r.session("s"+c.id) != c {
			t.Fatalf("connection %s is not found; want it under its ids", c.id)
		}
		if added {
			known++
			counts[c.user]++
		}
	}
	for _, user := range users {
		of := r.ofUser(user)
		for _, c := range of {
			if !model[c] || c.user != user {
				t.Fatalf("%q has connection %s; want none", user, c.id)
			}
		}
		if len(of) != counts[user] || user != "" && len(of) > 100 {
			t.Fatalf("%q has %d connections; want %d, at most 100", user, len(of), counts[user])
		}
	}
	if got := len(slices.Collect(r.all())); got != len(model) || r.total.Load() != int64(len(model)) {
		t.Fatalf("%d connections, counted as %d; want %d", got, r.total.Load(), len(model))
	}
	sessions := 0
	for i := range r.bySession {
		sessions += len(r.bySession[i].clients)
	}
	if sessions < counts["b"] || len(model) == 0 && sessions != 0 {
		t.Fatalf("%d sessions of %d connections that have one; want one each, and none without connections", sessions, counts["b"])
	}
	if got := r.numUsers(); got != len(counts) || r.known.Load() != int64(known) {
		t.Fatalf("%d users of %d connections; want %d of %d", got, r.known.Load(), len(counts), known)
	}
}

// TestRegistryConcurrently adds, finds and removes connections of one user at once.
func TestRegistryConcurrently(t *testing.T) {
	r := newRegistry()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				c := &Client{id: fmt.Sprint(i, ".", j)}
				r.add(c)
				r.addUser(c, 1)
				if r.client(c.id) != c || !slices.Contains(r.ofUser(""), c) {
					t.Errorf("connection %s is not found; want it under its id and user", c.id)
				}
				for range r.all() {
				}
				r.remove(c)
			}
		})
	}
	wg.Wait()
	compareRegistry(t, r, []string{""}, map[*Client]bool{})
}

// BenchmarkRegistryUser measures how long a connection of a user with many takes to
// be added and removed.
func BenchmarkRegistryUser(b *testing.B) {
	for _, n := range []int{1, 30, 1_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRegistry()
			for range n {
				r.addUser(&Client{}, 0)
			}
			c := &Client{}
			b.ReportAllocs()
			for b.Loop() {
				r.addUser(c, 0)
				r.removeUser(c, "")
			}
		})
	}
}
