package transporttest

// Sink is a socket of an event loop that accepts everything and does nothing.
type Sink struct{}

func (Sink) Start([]byte) error          { return nil }
func (Sink) Write(b []byte) (int, error) { return len(b), nil }
func (Sink) WantWrite(bool)              {}
func (Sink) Resume()                     {}
func (Sink) CloseWrite() error           { return nil }
func (Sink) Close()                      {}
func (Sink) Blocking() bool              { return false }

// FullSocket is a Sink that accepts nothing before Accepts is set, and records what it
// accepts.
type FullSocket struct {
	Sink
	Accepts bool
	// Writing is called at the beginning of the next Write, once; nil for none.
	Writing func()
	// Calls are what was accepted, "CloseWrite" and "Close", in order.
	Calls []string
}

func (s *FullSocket) Write(b []byte) (int, error) {
	if writing := s.Writing; writing != nil {
		s.Writing = nil
		writing()
	}
	if !s.Accepts {
		return 0, nil
	}
	s.Calls = append(s.Calls, string(b))
	return len(b), nil
}

func (s *FullSocket) CloseWrite() error {
	s.Calls = append(s.Calls, "CloseWrite")
	return nil
}

func (s *FullSocket) Close() { s.Calls = append(s.Calls, "Close") }
