package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// play responds to a call with the fault. handle returns the real response, for the faults that need it.
func (f Fault) play(w http.ResponseWriter, r *http.Request, s *Sandbox, call *Call, handle func() response) {
	switch f.Kind {
	case "close", "reset", "midway":
		f.breakOff(w, handle)
	case "silence":
		// The body was read before: otherwise, net/http would not notice that the client is gone.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	case "truncate":
		a := handle()
		a.body = a.body[:len(a.body)/2]
		a.write(w, call)
	case "garbage":
		response{status: http.StatusOK, body: []byte("<html><body>It works!</body></html>")}.write(w, call)
	case "empty":
		response{status: http.StatusOK}.write(w, call)
	case "status":
		f.status(call).write(w, call)
	case "page":
		status, _ := strconv.Atoi(f.Args[0])
		response{status: status, header: http.Header{"Content-Type": {"text/html"}}, body: []byte("<html><body><h1>Sorry</h1>")}.write(w, call)
	case "error":
		awsError(call, newError(statusOf(f.Args[0]), f.Args[0], "%s", f.Args[1])).write(w, call)
	case "switch":
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = connection.Close() }()
		_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, buffer) // until the client closes it
	case "echo":
		text := echo(r)
		if call.Service == "bitrise" {
			jsonResponse(http.StatusForbidden, map[string]string{"error_msg": text}).write(w, call)
			return
		}
		awsError(call, newError(statusOf(f.Args[0]), f.Args[0], "%s", text)).write(w, call)
	case "header":
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(buffer, "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n%s\r\n\r\n", inHeader(r), inHeader(r))
		_ = buffer.Flush()
		_ = connection.Close()
	case "trailer":
		f.trailer(w, r, call, handle)
	case "rate":
		awsError(call, newError(http.StatusBadRequest, "Throttling", "Rate exceeded")).write(w, call)
	case "redirect":
		response{status: http.StatusTemporaryRedirect, header: http.Header{"Location": {f.Args[0]}}}.write(w, call)
	case "huge":
		size, _ := strconv.Atoi(f.Args[0])
		response{status: http.StatusOK, body: append([]byte(`{"id_token":"`), bytes.Repeat([]byte("x"), size)...)}.write(w, call)
	case "date":
		seconds, _ := strconv.Atoi(f.Args[0])
		w.Header().Set("Date", s.clock().Add(time.Duration(seconds)*time.Second).UTC().Format(http.TimeFormat))
		handle().write(w, call)
	case "gather":
		select {
		case <-s.faults.gather(f.Args[0]):
			handle().write(w, call)
		case <-r.Context().Done():
		}
	case "audience", "expired", "nojwt":
		f.token(s).write(w, call)
	}
}

// trailer sends a response in chunks whose trailer has a line without a colon.
func (f Fault) trailer(w http.ResponseWriter, r *http.Request, call *Call, handle func() response) {
	var a response
	if len(f.Args) == 0 {
		a = handle()
	} else {
		a = awsError(call, newError(statusOf(f.Args[0]), f.Args[0], "no"))
	}
	connection, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	_, _ = fmt.Fprintf(buffer, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n\r\n",
		a.status, http.StatusText(a.status), a.header.Get("Content-Type"), len(a.body), a.body, strings.Join(secretsOf(r), " "))
	_ = buffer.Flush()
}

func (f Fault) status(call *Call) response {
	status, _ := strconv.Atoi(f.Args[0])
	a := response{status: status, header: http.Header{}, body: []byte(fmt.Sprintf("%d %s\n", status, http.StatusText(status)))}
	if len(f.Args) > 1 {
		a.header.Set("Retry-After", f.Args[1])
	}
	call.Code = "fault: status " + f.Args[0]
	return a
}

// echo repeats the secrets of a call in several encodings. The form was read from the body before and is in the request's
// context.
func echo(r *http.Request) string {
	var all []string
	for _, secret := range secretsOf(r) {
		encoded, _ := json.Marshal(secret) // cannot fail for a string
		all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret),
			strings.ReplaceAll(string(encoded), "/", `\/`), strings.ReplaceAll(secret, "+", "&#43;"),
			base64.RawURLEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("AWS:"+secret)))
		if _, end, isToken := strings.Cut(secret, "."); isToken {
			all = append(all, end) // a token without its header, which is public
		}
	}
	return strings.Join(all, " and ")
}

// inHeader is echo for a header or a trailer. net/http quotes these in its errors, which would put JSON's escapes inside others.
func inHeader(r *http.Request) string { return strings.ReplaceAll(echo(r), `\`, "") }

func secretsOf(r *http.Request) []string {
	all := []string{r.Header.Get("BUILD_API_TOKEN"), r.Header.Get("X-Amz-Security-Token"), formOf(r).Get("WebIdentityToken")}
	return slices.DeleteFunc(all, func(secret string) bool { return secret == "" })
}

// token is a response of the token endpoint with a token that the client must reject.
func (f Fault) token(s *Sandbox) response {
	var token string
	switch f.Kind {
	case "audience":
		token, _ = s.MintToken(f.Args[0], nil)
	case "expired":
		token, _ = s.MintToken("sts.amazonaws.com", map[string]any{"exp": s.clock().Add(-time.Hour).Unix()})
	default:
		token = random(32)
		s.record.secret(token)
	}
	return jsonResponse(http.StatusOK, map[string]any{
		"id_token": token, "token_type": "urn:ietf:params:oauth:token-type:id_token", "expires_in": 600,
	})
}

// breakOff closes the connection before a response, or after half of it.
func (f Fault) breakOff(w http.ResponseWriter, handle func() response) {
	a := handle()
	connection, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	if f.Kind == "midway" {
		_, _ = fmt.Fprintf(buffer, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
			a.status, http.StatusText(a.status), a.header.Get("Content-Type"), len(a.body))
		_, _ = buffer.Write(a.body[:len(a.body)/2])
		_ = buffer.Flush()
	}
	if tcp, ok := connection.(*net.TCPConn); ok && f.Kind == "reset" {
		_ = tcp.SetLinger(0) // makes Close send a reset
	}
}
