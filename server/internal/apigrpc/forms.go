package apigrpc

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"centrifugo/apipb"
	"centrifugo/server/internal/api"
)

// form is how a method is carried: the name of its call, the structures of its request and
// result, and its number in commands and replies.
type form struct {
	method  *api.Method
	order   int // in the table of methods
	call    string
	number  protowire.Number
	request *structure
	result  *structure
	// bare is set for a response that has no envelope with an error and a result.
	bare bool
}

var file = apipb.File_api_proto

// service is the description of the service in the schema.
func service() protoreflect.ServiceDescriptor { return file.Services().ByName("CentrifugoApi") }

// forms returns the forms of all methods, in the order of the table. It panics if the
// schema lacks one.
var forms = sync.OnceValue(func() []form {
	methods := api.Methods()
	forms := make([]form, len(methods))
	for i, m := range methods {
		forms[i] = formOf(m)
		forms[i].order = i
	}
	return forms
})

func formOf(m *api.Method) form {
	f := form{method: m}
	for i := range service().Methods().Len() {
		call := service().Methods().Get(i)
		if !strings.EqualFold(string(call.Name()), strings.ReplaceAll(m.Name, "_", "")) {
			continue
		}
		f.call = string(call.Name())
		f.request = structureOf(m.Request, call.Input())
		result := call.Output().Fields().ByName("result")
		if f.bare = result == nil; f.bare {
			f.result = structureOf(m.Result, call.Output())
			return f
		}
		f.result = structureOf(m.Result, result.Message())
		if command := message("Command").Fields().ByName(protoreflect.Name(m.Name)); command != nil {
			f.number = command.Number()
		}
		return f
	}
	panic(fmt.Sprintf("apigrpc: the schema has no call for the method %s", m.Name))
}

func message(name protoreflect.Name) protoreflect.MessageDescriptor {
	return file.Messages().ByName(name)
}

// commandForms returns the forms of commands by number.
var commandForms = sync.OnceValue(func() map[protowire.Number]form {
	byNumber := make(map[protowire.Number]form)
	for _, f := range forms() {
		if f.number != 0 {
			byNumber[f.number] = f
		}
	}
	return byNumber
})

// replyForms returns the forms of replies by the name of the method.
var replyForms = sync.OnceValue(func() map[string]form {
	byName := make(map[string]form)
	for _, f := range forms() {
		byName[f.method.Name] = f
	}
	return byName
})

var errorForm = sync.OnceValue(func() *structure {
	return structureOf(reflect.TypeFor[api.Error](), message("Error"))
})
