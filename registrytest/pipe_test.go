package registrytest

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/conn"
)

func pipeForTest() (client, server *pipeConn) {
	return newPipe(loopback(49152), loopback(80))
}

func TestPipeCarriesBytesBothWays(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 4095, 4096, 4097, pipeBuffer, pipeBuffer + 1, 3*pipeBuffer + 17} {
		client, server := pipeForTest()
		sent := make([]byte, size)
		rand.Read(sent)
		go func() {
			io.Copy(server, server) // echo all bytes
			server.CloseWrite()
		}()
		go func() {
			// The pieces have many sizes, so that they reach the end of the ring at
			// many offsets.
			for rest, n := sent, 1; len(rest) > 0; n = n*7%4099 + 1 {
				n = min(n, len(rest))
				client.Write(rest[:n])
				rest = rest[n:]
			}
			client.CloseWrite()
		}()
		got, err := io.ReadAll(client)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got), "%d bytes", size)
	}
}

func TestPipeHoldsWhatIsNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := pipeForTest()
		n, err := client.Write(make([]byte, pipeBuffer))
		require.NoError(t, err, "writing does not wait for reading")
		require.Equal(t, pipeBuffer, n)

		written := false
		go func() {
			client.Write([]byte("more"))
			written = true
		}()
		synctest.Wait()
		require.False(t, written, "the buffer has a limit")
		_, err = io.ReadFull(server, make([]byte, 4))
		require.NoError(t, err)
		synctest.Wait()
		require.True(t, written)
	})
}

func TestPipeEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end                                    func(*pipeConn)
		rest                                   string
		myRead, myWrite, theirRead, theirWrite error
	}{
		"closed": {
			end:    func(c *pipeConn) { c.Close() },
			rest:   "sent",
			myRead: net.ErrClosed, myWrite: net.ErrClosed, theirRead: io.EOF, theirWrite: conn.Broken,
		},
		"closed for writing": {
			end:     func(c *pipeConn) { c.CloseWrite() },
			rest:    "sent",
			myWrite: conn.Broken, theirRead: io.EOF,
		},
		"closed for writing, then closed": {
			end:    func(c *pipeConn) { c.CloseWrite(); c.Close() },
			rest:   "sent",
			myRead: net.ErrClosed, myWrite: net.ErrClosed, theirRead: io.EOF, theirWrite: conn.Broken,
		},
		"reset": {
			end:    func(c *pipeConn) { c.SetLinger(0); c.Close() },
			rest:   "sent",
			myRead: net.ErrClosed, myWrite: net.ErrClosed, theirRead: conn.Reset, theirWrite: conn.Reset,
		},
		"closed twice": {
			end:    func(c *pipeConn) { c.Close(); c.SetLinger(0); c.Close() },
			rest:   "sent",
			myRead: net.ErrClosed, myWrite: net.ErrClosed, theirRead: io.EOF, theirWrite: conn.Broken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mine, theirs := pipeForTest()
			_, err := mine.Write([]byte("sent"))
			require.NoError(t, err)
			test.end(mine)

			rest := make([]byte, 4)
			n, err := io.ReadFull(theirs, rest)
			require.Equal(t, test.rest, string(rest[:n]))
			if n > 0 {
				require.NoError(t, err)
				_, err = theirs.Read(rest)
			}
			require.ErrorIs(t, err, test.theirRead)
			if test.theirWrite == conn.Broken {
				_, err = theirs.Write(make([]byte, pipeBuffer))
				require.NoError(t, err, "the first write after a Close is lost without an error")
			}
			_, err = theirs.Write([]byte("x"))
			require.ErrorIs(t, err, test.theirWrite)
			if test.myRead != nil {
				_, err = mine.Read(rest)
				require.ErrorIs(t, err, test.myRead)
			}
			_, err = mine.Write(rest)
			require.ErrorIs(t, err, test.myWrite)
		})
	}
}

// Close wakes the reads and writes that wait.
func TestPipeEndWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := pipeForTest()
		errs := make(chan error, 3)
		go func() {
			_, err := client.Read(make([]byte, 1))
			errs <- err
		}()
		go func() {
			_, err := client.Write(make([]byte, 2*pipeBuffer))
			errs <- err
		}()
		synctest.Wait()
		server.Close()
		require.ElementsMatch(t, []error{
			io.EOF, client.opError("write", conn.Broken),
		}, []error{<-errs, <-errs})
		go func() {
			_, err := server.Read(make([]byte, 1))
			errs <- err
		}()
		require.ErrorIs(t, <-errs, net.ErrClosed)
	})
}

func TestPipeDeadlines(t *testing.T) {
	t.Parallel()
	type op func(net.Conn) error
	read := func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c net.Conn) error { _, err := c.Write(make([]byte, 2*pipeBuffer)); return err }
	for name, test := range map[string]struct {
		set func(net.Conn, time.Time) error
		op  op
	}{
		"read":       {net.Conn.SetReadDeadline, read},
		"write":      {net.Conn.SetWriteDeadline, write},
		"both":       {net.Conn.SetDeadline, read},
		"both again": {net.Conn.SetDeadline, write},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, _ := pipeForTest()
				began := time.Now()

				require.NoError(t, test.set(c, began.Add(time.Minute)))
				err := test.op(c)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.True(t, err.(net.Error).Timeout())
				require.Equal(t, time.Minute, time.Since(began))

				require.ErrorIs(t, test.op(c), os.ErrDeadlineExceeded, "a passed deadline stays passed")

				require.NoError(t, test.set(c, time.Now().Add(time.Minute)))
				go func() {
					time.Sleep(30 * time.Second)
					test.set(c, time.Now().Add(time.Hour))
				}()
				require.ErrorIs(t, test.op(c), os.ErrDeadlineExceeded)
				require.Equal(t, time.Minute+30*time.Second+time.Hour, time.Since(began), "a deadline moves during a wait")

				require.NoError(t, test.set(c, time.Unix(1, 0)))
				require.ErrorIs(t, test.op(c), os.ErrDeadlineExceeded, "a deadline can be in the past")

				require.NoError(t, test.set(c, time.Now().Add(time.Minute)))
				require.NoError(t, test.set(c, time.Time{}))
				go func() {
					time.Sleep(time.Hour)
					c.Close()
				}()
				require.ErrorIs(t, test.op(c), net.ErrClosed, "a deadline can be removed")
			})
		})
	}
}

func TestPipeListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closings := 0
		l := newPipeListener(loopback(80), func() { closings++ })
		ctx := context.Background()

		go l.dial(ctx, loopback(49152))
		server, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1:80", server.LocalAddr().String())
		require.Equal(t, "127.0.0.1:49152", server.RemoteAddr().String())

		canceled, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err = l.dial(canceled, loopback(49153))
		require.ErrorIs(t, err, context.DeadlineExceeded, "without a call of Accept, dial waits until its context ends")

		dialed := make(chan error)
		go func() {
			_, err := l.dial(ctx, loopback(49154))
			dialed <- err
		}()
		synctest.Wait()
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		require.Equal(t, 1, closings)
		require.ErrorIs(t, <-dialed, conn.Refused)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
