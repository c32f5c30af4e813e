// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const module = "../.."

// build makes the binary, with build tags for a mutant, and returns its path.
func build(t *testing.T, tags string) string {
	t.Helper()
	// The test cache sees what this process reads and not what `go build`
	// reads. Walking the command's folder keeps an old answer from standing.
	err := filepath.WalkDir(filepath.Join(module, "cmd"), func(_ string, _ fs.DirEntry, err error) error { return err })
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "resilienced")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-o", path, "./cmd/resilienced")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// process is one life of the service.
type process struct {
	cmd    *exec.Cmd
	conn   *grpc.ClientConn
	killed atomic.Bool
	ended  chan struct{} // its log is read to the end
	faults []string      // what it logged as errors; once ended is closed
}

// errNotServing is the end of a process before it served.
var errNotServing = errors.New("the service ended before it served")

// launch starts the service on a data directory and returns when it serves. It
// is killed after a while if that is not negative, whether it serves or not.
func launch(ctx context.Context, binary, dir string, early time.Duration) (*process, error) {
	policy, err := filepath.Abs("testdata/policy.yaml")
	if err != nil {
		return nil, err
	}
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, binary, "serve", "--store", "sqlite", "--data-dir", dir,
		"--listen", "127.0.0.1:0", "--http-listen", "off", "--policy", policy, "--log-format", "json")
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	address := make(chan string, 1)
	go func() {
		defer close(p.ended)
		p.read(bufio.NewScanner(log), address)
	}()
	if early >= 0 {
		timer := time.NewTimer(early)
		defer timer.Stop()
		<-timer.C
		p.kill()
		return p, nil
	}
	select {
	case at := <-address:
		p.conn, err = grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(insecure.NewCredentials()))
		return p, err
	case <-p.ended:
		p.kill()
		return p, fmt.Errorf("%w: %s", errNotServing, strings.Join(p.faults, "; "))
	}
}

// read takes the log in: where it serves, and what goes wrong.
func (p *process) read(lines *bufio.Scanner, address chan<- string) {
	for lines.Scan() {
		var line struct{ Level, Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Level == "ERROR" {
			p.faults = append(p.faults, lines.Text())
		}
		if line.Msg == "serving" {
			address <- line.Address
		}
	}
}

// kill ends the process at once, as a power cut or an OOM killer would, and
// waits until it is gone. A second call does nothing.
func (p *process) kill() {
	if p.killed.Swap(true) {
		return
	}
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself, which Wait tells
	<-p.ended
	p.cmd.Wait() //nolint:errcheck // it was killed
	if p.conn != nil {
		p.conn.Close() //nolint:errcheck // nothing is lost with it
	}
}
