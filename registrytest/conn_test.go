package registrytest

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// After a server has closed its connections, it waits until its clients have closed
// their ends: for at most noticeTime, plus readTime if a client is reading.
func TestClientsAreGivenTimeToNotice(t *testing.T) {
	for name, test := range map[string]struct {
		reads bool
		told  time.Duration // the time after which the client's Read fails
		close time.Duration // the time from then until the client calls Close
		want  time.Duration
	}{
		"at once":           {true, 0, 0, 0},
		"told late":         {true, time.Second, 0, time.Second},
		"later":             {true, 0, time.Second, time.Second},
		"never":             {true, 0, time.Hour, noticeTime + readTime},
		"not reading":       {false, 0, time.Hour, noticeTime},
		"not reading, soon": {false, 0, time.Millisecond, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &service{clients: map[*clientConn]struct{}{}}
				ours, theirs := net.Pipe()
				c := s.client(theirs)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if test.reads {
						c.Read(make([]byte, 1))
					}
					time.Sleep(test.close)
					c.Close()
				}()
				synctest.Wait()
				s.mu.Lock()
				s.hangUp()
				s.mu.Unlock()
				begin := time.Now()
				time.AfterFunc(test.told, func() { ours.Close() })
				s.settle()
				require.Equal(t, test.want, time.Since(begin))
				<-ended
			})
		})
	}
}
