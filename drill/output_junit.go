// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// junitWriter writes the XML that build servers read, all of it at the end.
type junitWriter struct{ out io.Writer }

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
	Out      string      `xml:"system-out"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Skipped *junitSkipped `xml:"skipped,omitempty"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (w *junitWriter) begin(int) {}

func (w *junitWriter) result(*Result) {}

func (w *junitWriter) end(r *Report) {
	suite := junitSuite{
		Name: "drills", Tests: len(r.Results), Failures: r.Failed(),
		Out: strings.Join(append([]string{r.summary()}, r.kindLines()...), "\n"),
	}
	var total time.Duration
	for i := range r.Results {
		suite.Cases = append(suite.Cases, junitResult(&r.Results[i]))
		total += r.Results[i].Took
	}
	suite.Time = seconds(total)
	text, err := xml.MarshalIndent(junitSuites{Suite: suite}, "", "  ")
	if err != nil { // not with these types
		text = []byte("<!-- " + err.Error() + " -->")
	}
	_, _ = fmt.Fprintf(w.out, "%s%s\n", xml.Header, text)
}

func junitResult(r *Result) junitCase {
	c := junitCase{
		Class: "drill", Name: printable(r.ID + " " + r.Title), File: printable(r.File), Time: seconds(r.Took),
	}
	if r.Pending {
		c.Skipped = &junitSkipped{Message: printable(r.Message)}
		return c
	}
	if !r.OK() {
		lines := r.lines()
		c.Failure = &junitFailure{Type: string(r.Reason), Text: strings.Join(lines, "\n")}
		if len(lines) > 0 {
			c.Failure.Message = lines[0]
		}
	}
	return c
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
