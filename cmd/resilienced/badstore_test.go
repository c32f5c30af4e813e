// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/test/pgserver"
)

// authority is a certificate authority of a test's own.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // its certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{made, key, write(t, name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))}
}

// issue makes the certificate and key of a server.
func (a *authority) issue(t *testing.T, until time.Time) (certificate, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "db"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		DNSNames: []string{"db.internal"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &own.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// useTLS makes a running server speak TLS with a certificate. The server writes
// the files itself, since it runs as another user.
func useTLS(t *testing.T, s *pgserver.Server, certificate, key string) {
	t.Helper()
	for name, text := range map[string]string{"test.crt": certificate, "test.key": key} {
		query(t, s, "postgres", fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO PROGRAM 'umask 077; cat > %s'", strings.TrimSpace(text), name))
	}
	query(t, s, "postgres", "ALTER SYSTEM SET ssl_cert_file = 'test.crt'")
	query(t, s, "postgres", "ALTER SYSTEM SET ssl_key_file = 'test.key'")
	query(t, s, "postgres", "ALTER SYSTEM SET ssl = 'on'")
	reload(t, s, "ssl", "on")
}

// reload lets a server read its settings, and returns when one is in force.
func reload(t *testing.T, s *pgserver.Server, setting, value string) {
	t.Helper()
	query(t, s, "postgres", "SELECT pg_reload_conf()")
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if query(t, s, "postgres", "SHOW "+setting) == value {
			return
		}
	}
	t.Fatalf("%s does not become %s:\n%s", setting, value, s.Log())
}

// query runs statements as the superuser.
func query(t *testing.T, s *pgserver.Server, database, text string) string {
	t.Helper()
	out, err := s.Exec(t.Context(), database, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

// with changes an address.
func with(t *testing.T, dsn string, change func(u *url.URL, q url.Values)) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	change(u, q)
	u.RawQuery = q.Encode()
	return u.String()
}

// Whatever is wrong with a database, serve does not start, doctor finds it,
// check says it too, and each time a sentence names the cure and no password.
func TestBadStores(t *testing.T) {
	server, dsn := startDatabase(t, pgserver.Options{})
	fresh := func() string {
		t.Helper()
		dsn, err := server.NewDatabase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return dsn
	}
	name := func(dsn string) string {
		t.Helper()
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(u.Path, "/")
	}
	param := func(dsn string, pairs ...string) string {
		return with(t, dsn, func(_ *url.URL, q url.Values) {
			for i := 0; i < len(pairs); i += 2 {
				q.Set(pairs[i], pairs[i+1])
			}
		})
	}
	secure, _ := startDatabase(t, pgserver.Options{})
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	certificate, key := ours.issue(t, time.Now().Add(time.Hour))
	useTLS(t, secure, certificate, key)
	secured := secure.DSN("postgres")

	foreign := fresh()
	query(t, server, name(foreign), "CREATE SCHEMA resilienced; CREATE TABLE resilienced.orders (id int); GRANT ALL ON SCHEMA resilienced TO resilienced")
	newer := fresh()
	if code, out, errs := run(t, "store", "migrate", newer); code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	query(t, server, name(newer), "UPDATE resilienced.schema_version SET version = 99, compat = 99")
	poor := fresh()
	query(t, server, name(poor), "CREATE ROLE poor LOGIN PASSWORD '"+password(t, dsn)+"'")
	readOnly := fresh()
	query(t, server, name(readOnly), "ALTER DATABASE "+name(readOnly)+" SET default_transaction_read_only = on")
	crowded := fresh()
	query(t, server, name(crowded), "ALTER DATABASE "+name(crowded)+" CONNECTION LIMIT 0")
	standby, err := server.Standby(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	}()

	for _, c := range []struct {
		name, dsn, says string
		code            int
	}{
		{"an address that is none", with(t, dsn, func(_ *url.URL, q url.Values) { q.Set("sslmode", "maybe") }), "postgres://USER@HOST/DATABASE", exitUsage},
		{"nobody there", with(t, dsn, func(u *url.URL, _ url.Values) { u.Host = nobody(t) }), "start the database server", exitUnavailable},
		{"a wrong password", with(t, dsn, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("resilienced", "wrong-password") }), "PGPASSWORD", exitUnavailable},
		{"no such database", with(t, dsn, func(u *url.URL, _ url.Values) { u.Path = "/none" }), "make the database", exitUnavailable},
		{"no TLS in the server", param(dsn, "sslmode", "require"), "ssl = on", exitUnavailable},
		{"an unknown authority", param(secured, "sslmode", "verify-full", "sslrootcert", others.file), "sslrootcert=FILE", exitUnavailable},
		{"another host's certificate", with(t, secured, func(u *url.URL, q url.Values) {
			u.Host = "localhost:" + u.Port()
			q.Set("sslmode", "verify-full")
			q.Set("sslrootcert", ours.file)
		}), "host name in the DSN", exitUnavailable},
		{"another product's schema", foreign, "choose another with --schema", exitUnavailable},
		{"a newer schema", newer, "run the newer version", exitUnavailable},
		{"a read-only database", readOnly, "default_transaction_read_only", exitUnavailable},
		{"a standby", with(t, readOnly, func(u *url.URL, _ url.Values) { u.Host, u.Path = standby.Addr(), "/"+name(dsn) }), "name the primary", exitUnavailable},
		{"no connection left", crowded, "max_connections", exitUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, args := range [][]string{
				{"serve", "--listen", "127.0.0.1:0", "--http-listen", "off", "--store", c.dsn}, {"store", "check", c.dsn},
			} {
				code, out, errs := run(t, args...)
				if code != c.code || !strings.Contains(errs, c.says) || out != "" {
					t.Errorf("%s: exit %d, want %d, with %q in:\n%s%s", args[0], code, c.code, c.says, out, errs)
				}
				secretless(t, c.dsn, out+errs)
			}
			f, text := storeFindings(t, c.dsn)
			if f["store"].Verdict != bad || !strings.Contains(f["store"].Found+f["store"].Cure, c.says) {
				t.Errorf("doctor says %+v, want %q", f["store"], c.says)
			}
			secretless(t, c.dsn, text)
		})
	}
	t.Run("missing rights", func(t *testing.T) {
		poor := with(t, poor, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("poor", password(t, dsn)) })
		if code, _, errs := run(t, "serve", "--listen", "127.0.0.1:0", "--http-listen", "off", "--store", poor); code != exitUnavailable || !strings.Contains(errs, "GRANT") {
			t.Errorf("serve: exit %d, %s", code, errs)
		}
		if f, text := storeFindings(t, poor); f["store/rights"].Verdict != bad || !strings.Contains(f["store/rights"].Cure, `CREATE SCHEMA "resilienced" AUTHORIZATION "poor"`) {
			t.Errorf("doctor: %s", text)
		}
	})
	t.Run("a trusted certificate", func(t *testing.T) {
		f, text := storeFindings(t, param(secured, "sslmode", "verify-full", "sslrootcert", ours.file))
		if f["store"].Verdict != good || !strings.Contains(f["store/connection"].Found, "encrypted") {
			t.Errorf("doctor: %s", text)
		}
	})
}

// secretless ends a test if a text tells the password of an address.
func secretless(t *testing.T, dsn, text string) {
	t.Helper()
	if strings.Contains(text, password(t, dsn)) {
		t.Errorf("the password is told:\n%s", text)
	}
}

// storeFindings are what doctor finds of a store, by check.
func storeFindings(t *testing.T, dsn string) (map[string]finding, string) {
	t.Helper()
	_, out, errs := runAt(t, nobody(t), "doctor", "--store", dsn, "-o", "json")
	var got struct{ Findings []finding }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		if errs != "" { // a wrong address is an error of usage
			return map[string]finding{"store": {Verdict: bad, Found: errs}}, errs
		}
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	found := map[string]finding{}
	for _, f := range got.Findings {
		found[f.Check] = f
	}
	return found, out
}
