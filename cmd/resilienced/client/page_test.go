// SPDX-License-Identifier: Apache-2.0

package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestGetPage(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			w.Header().Set("Date", "Sun, 01 Mar 2026 10:00:00 GMT")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"ready": false}`))
		case "/moved":
			http.Redirect(w, r, "/readyz", http.StatusFound)
		case "/large":
			_, _ = w.Write([]byte(`"` + strings.Repeat("x", largestPage) + `"`))
		case "/slow":
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	addr := s.Listener.Addr().String()
	var got struct{ Ready bool }
	page, err := GetPage(t.Context(), addr, "/readyz", time.Minute, &got)
	if err != nil || page.Status != http.StatusServiceUnavailable || !page.Date.Equal(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v, %v", page, err)
	}
	for path, says := range map[string]string{"/moved": "status 302 is not resilienced's", "/large": "is not resilienced's", "/none": "is not resilienced's", "/slow": "nobody answers HTTP"} {
		var got any
		_, err := GetPage(t.Context(), addr, path, 100*time.Millisecond, &got)
		if e, ok := As(err); !ok || e.Kind != Unavailable || !strings.Contains(e.Text, says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, wrong := range []string{"", "host", "host:port:7071", "a b:1"} {
		if _, err := GetPage(t.Context(), wrong, "/", time.Second, &got); err == nil {
			t.Errorf("%q is an address", wrong)
		}
	}
}
