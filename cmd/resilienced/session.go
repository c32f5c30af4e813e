// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
)

// The forms of output.
const (
	formTable = "table"
	formJSON  = "json"
	formYAML  = "yaml"
	formName  = "name"
)

// session is one run of an operator's command: the server it talks to, and the
// screen and form in which it answers.
type session struct {
	*client.Client
	screen *terminal.Screen
	stderr *terminal.Screen
	in     io.Reader
	out    io.Writer // for commands that are run; all else goes through screen
	err    io.Writer
	form   string
	actor  string
}

// sessionFlags are those that all commands of a server have.
type sessionFlags struct {
	options client.Options
	actor   string
	form    oneOf
}

// annotationEnv names the variable that stands in for a flag.
const annotationEnv = "resilienced_env"

// talks makes a command talk to a server. forms are those of its output, the
// first the default; none: it has no -o.
func talks(cmd *cobra.Command, forms []string, run func(context.Context, *session, []string) error) *cobra.Command {
	f := &sessionFlags{}
	flags := cmd.Flags()
	flags.SortFlags = false
	if len(forms) > 0 {
		f.form = oneOf{forms[0], forms}
		flags.VarP(&f.form, "output", "o", "form of the answer")
	}
	shared := cmd.PersistentFlags() // cobra lists them behind the command's own
	shared.StringVar(&f.options.Addr, "addr", client.DefaultAddr, "`ADDRESS` of the server's gRPC port")
	shared.StringVar(&f.options.Namespace, "namespace", "", "`NAME` of the namespace; none is the server's default")
	shared.DurationVar(&f.options.Timeout, "rpc-timeout", client.DefaultTimeout, "longest wait for one answer of the server")
	for flag, env := range map[string]string{"addr": "RESILIENCED_ADDR", "namespace": "RESILIENCED_NAMESPACE", "rpc-timeout": "RESILIENCED_RPC_TIMEOUT"} {
		_ = shared.SetAnnotation(flag, annotationEnv, []string{env}) // it fails for a flag that is not there
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args, run) }
	return cmd
}

// audits gives a command the flags of a change that is kept on record.
func audits(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "`WHY`, for the record")
	cmd.Flags().String("actor", "", "`WHO`, for the record (default: the user of this machine)")
	_ = cmd.Flags().SetAnnotation("actor", annotationEnv, []string{"RESILIENCED_ACTOR"}) // the flag is there
}

func (f *sessionFlags) run(cmd *cobra.Command, args []string, run func(context.Context, *session, []string) error) error {
	if actor, err := cmd.Flags().GetString("actor"); err == nil {
		f.actor = actor
		if f.actor == "" {
			f.actor = me()
		}
	}
	c, err := client.New(f.options)
	if err != nil {
		return fail(exitUsage, err)
	}
	s := newSession(cmd, f.form.value)
	s.Client, s.actor = c, f.actor
	return errors.Join(run(cmd.Context(), s, args), c.Close())
}

// newSession is a session without a server.
func newSession(cmd *cobra.Command, form string) *session {
	return &session{
		screen: terminal.New(cmd.OutOrStdout(), os.LookupEnv), stderr: terminal.New(cmd.ErrOrStderr(), os.LookupEnv),
		in: cmd.InOrStdin(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), form: form,
	}
}

// me is the one who typed the command, as far as this machine knows.
func me() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// newRequestID is what makes a request its own.
func newRequestID() string { return uuid.NewString() }

// answers are the forms of most commands.
func answers() []string { return []string{formTable, formJSON, formYAML} }

// named are the forms of commands whose things have names.
func named() []string { return append(answers(), formName) }

// show writes a message in the form asked for. table writes it for people, and
// names its names a line each.
func (s *session) show(m proto.Message, table func() error, names func() []string) error {
	var text []byte
	var err error
	switch s.form {
	case formJSON:
		text, err = encode.JSON(m)
	case formYAML:
		text, err = encode.YAML(m)
	case formName:
		for _, name := range names() {
			if err := s.screen.Line(name); err != nil {
				return written(err)
			}
		}
		return nil
	default:
		return written(table())
	}
	if err != nil {
		return fail(exitSoftware, err)
	}
	return written(s.screen.Bytes(text))
}

// line writes one message of a stream to a program.
func (s *session) line(m proto.Message) error {
	text, err := encode.Line(m)
	if err != nil {
		return fail(exitSoftware, err)
	}
	return written(s.screen.Bytes(text))
}

// written is the error of output that did not get out.
func written(err error) error {
	if _, has := errors.AsType[*failure](err); has || err == nil {
		return err
	}
	if _, ours := client.As(err); ours {
		return err
	}
	return fail(exitUnavailable, err)
}

// noRows says on standard error that a list is empty, to people only.
func (s *session) noRows(text string) error {
	if s.form != formTable {
		return nil
	}
	return s.stderr.Line(text)
}

// age is how long ago an instant of the server was.
func age(at interface {
	IsValid() bool
	AsTime() time.Time
},
) string {
	if !at.IsValid() {
		return ""
	}
	return terminal.Ago(at.AsTime(), time.Now())
}
