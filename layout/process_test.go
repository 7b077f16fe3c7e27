package layout_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/tempdir"
	"github.com/ocireg/registry/layout"
)

// TestMain runs the function pusher instead of the tests if a test started
// this process.
func TestMain(m *testing.M) {
	if args := os.Getenv("LAYOUT_TEST_PUSH"); args != "" {
		if err := pusher(strings.SplitN(args, " ", 3)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// start runs this test binary as another process. The process pushes n numbered
// tags to the repositories of the tree or layout dir. If n is 0, it begins an
// upload instead. The scanner reads the output of the process.
func start(t testing.TB, dir, name string, n int) (*exec.Cmd, *bufio.Scanner) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("LAYOUT_TEST_PUSH=%s %d %s", name, n, dir))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

// pushed holds the repositories that the other processes push to.
var pushed = []string{"app", "team/app", "team"}

// pusher runs in the other process. It pushes from several goroutines and prints
// a line for each acknowledged write.
func pusher(args []string) error {
	name, dir := args[0], args[2]
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s, err := layout.Open(dir)
	if err != nil {
		return err
	}
	if n == 0 {
		return upload(s)
	}
	const workers = 4
	errs := make(chan error, workers)
	for worker := range workers {
		go func() {
			for i := worker; i < n; i += workers {
				if err := pushOne(s, pushed[i%len(pushed)], name, i); err != nil {
					errs <- fmt.Errorf("pushing %s%d: %w", name, i, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			return err
		}
	}
	return s.Close()
}

// upload begins an upload and waits until the process is killed.
func upload(s *layout.Store) error {
	w, err := s.CreateBlob(context.Background(), "app", -1)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, "half"); err != nil {
		return err
	}
	fmt.Println("uploading")
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
	return w.Close()
}

func pushOne(s registry.Store, repo, name string, i int) error {
	// Write each line in one call, so that the lines of goroutines do not mix.
	acknowledge := func(what string, v ...any) { os.Stdout.WriteString(what + " " + repo + " " + fmt.Sprintln(v...)) }
	ctx := context.Background()
	content := strings.Repeat(fmt.Sprint(name, i, "\n"), 1+i%1000)
	d := digest.FromString(content)
	w, err := s.CreateBlob(ctx, repo, -1)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := io.Copy(w, strings.NewReader(content)); err != nil {
		return err
	}
	if err := w.Commit(ctx, d); err != nil {
		return err
	}
	acknowledge("blob", d)
	text := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"layers":[{"mediaType":"a/b","digest":%q,"size":%d}]}`, indexType, d, len(content))
	m := registry.Manifest{MediaType: indexType, Digest: digest.FromBytes(text), Content: text}
	tag := name + strconv.Itoa(i)
	if err := s.PutManifest(ctx, repo, m, []string{tag, name}, nil); err != nil {
		return err
	}
	acknowledge("tag", tag, m.Digest)
	if i%5 == 4 {
		acknowledge("untagging", tag)
		if err := s.DeleteTag(ctx, repo, tag); err != nil {
			return err
		}
		acknowledge("untag", tag, m.Digest)
	}
	return nil
}

// acknowledged holds the content that other processes pushed and the store
// acknowledged.
type acknowledged struct {
	blobs, manifests map[string][]digest.Digest // by repository
	tags             map[string]digest.Digest   // by repository:tag; "" if deleted
}

func (a *acknowledged) read(t testing.TB, line string) {
	f := strings.Fields(line)
	switch f[0] {
	case "blob":
		a.blobs[f[1]] = append(a.blobs[f[1]], digest.Digest(f[2]))
	case "tag":
		a.manifests[f[1]] = append(a.manifests[f[1]], digest.Digest(f[3]))
		a.tags[f[1]+":"+f[2]] = digest.Digest(f[3])
	case "untagging":
		delete(a.tags, f[1]+":"+f[2]) // Until the deletion is acknowledged, the tag may exist or not.
	case "untag":
		a.tags[f[1]+":"+f[2]] = ""
	default:
		t.Errorf("unexpected line %q", line)
	}
}

// check checks that the store has all acknowledged content.
func (a *acknowledged) check(t testing.TB, s registry.Store) {
	for repo, blobs := range a.blobs {
		for _, d := range blobs {
			require.Equal(t, d, digest.FromBytes(readBlob(t, s, repo, d)))
		}
	}
	for repo, manifests := range a.manifests {
		for _, d := range manifests {
			wantManifest(t, s, repo, string(d), indexType, d)
		}
	}
	for ref, d := range a.tags {
		repo, tag, _ := strings.Cut(ref, ":")
		if d == "" {
			_, err := s.GetManifest(t.Context(), repo, tag)
			wantNotExist(t, err)
		} else {
			wantManifest(t, s, repo, tag, indexType, d)
		}
	}
}

func newAcknowledged() *acknowledged {
	return &acknowledged{map[string][]digest.Digest{}, map[string][]digest.Digest{}, map[string]digest.Digest{}}
}

// wantWhole checks that no layout below a directory has a partial blob or
// manifest.
func wantWhole(t testing.TB, dir string) {
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() == ".ocireg" {
			return fs.SkipDir
		}
		if algorithm := path.Base(path.Dir(name)); e.Type().IsRegular() && algorithm == "sha256" {
			content, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, e.Name(), digest.FromBytes(content).Encoded())
		}
		return nil
	}))
}

// TestCrash kills a process while it pushes, several times. All acknowledged
// content remains, and no file is partial.
func TestCrash(t *testing.T) {
	t.Parallel()
	for kind, dir := range map[string]string{"tree": tempdir.New(t), "layout": emptyLayout(t)} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			all := newAcknowledged()
			for round := range 5 {
				cmd, lines := start(t, dir, fmt.Sprintf("round%d-", round), 100_000)
				for range rand.N(100) {
					require.True(t, lines.Scan(), "the process ended before the test killed it")
					all.read(t, lines.Text())
				}
				require.NoError(t, cmd.Process.Kill())
				for lines.Scan() {
					all.read(t, lines.Text())
				}
				cmd.Wait()
				s := open(t, dir)
				require.Empty(t, temporary(t, dir), "opening the store must remove the files of the killed process")
				all.check(t, s)
				wantWhole(t, dir)
				for _, ref := range tagsOf(t, s) {
					repo, tag, ok := strings.Cut(ref, ":")
					if !ok {
						continue
					}
					_, err := s.GetManifest(t.Context(), repo, tag)
					require.NoError(t, err)
				}
			}
		})
	}
}

// TestTwoProcesses starts two processes that create layouts and push to them at
// once, while a store of this process does the same and lists all tags.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	for kind, dir := range map[string]string{"tree": tempdir.New(t), "layout": emptyLayout(t)} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const n = 60
			s := open(t, dir)
			all := newAcknowledged()
			var mu sync.Mutex
			var wg sync.WaitGroup
			for _, name := range []string{"a", "b"} {
				cmd, lines := start(t, dir, name, n)
				wg.Go(func() {
					for lines.Scan() {
						mu.Lock()
						all.read(t, lines.Text())
						mu.Unlock()
					}
					if err := cmd.Wait(); err != nil {
						t.Error(err)
					}
				})
			}
			for i := range n {
				put(t, s, pushed[i%len(pushed)], i, fmt.Sprint("c", i))
				tagsOf(t, s)
			}
			wg.Wait()
			require.Len(t, all.tags, 2*n)
			for _, s := range []registry.Store{s, open(t, dir)} {
				all.check(t, s)
				for i := range n {
					wantManifestDigest(t, s, pushed[i%len(pushed)], fmt.Sprint("c", i), i)
				}
			}
			wantWhole(t, dir)
			require.Equal(t, []string{"app", "team", "team/app"}, slices.Sorted(slices.Values(collect(t, s.Repositories(t.Context(), "")))))
		})
	}
}

// TestLivingProcessKeepsItsFiles opens a store while another process uploads a
// blob. Opening the store keeps the temporary file of the upload while that
// process is alive, and removes it after the process was killed.
func TestLivingProcessKeepsItsFiles(t *testing.T) {
	t.Parallel()
	for kind, dir := range map[string]string{"tree": tempdir.New(t), "layout": emptyLayout(t)} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cmd, lines := start(t, dir, "", 0)
			require.True(t, lines.Scan(), "the process ended before the test killed it")
			require.Equal(t, "uploading", lines.Text())
			for range 2 {
				s := open(t, dir)
				require.Len(t, temporary(t, dir), 1)
				require.NoError(t, s.Close())
			}
			require.Len(t, temporary(t, dir), 1)
			require.NoError(t, cmd.Process.Kill())
			require.False(t, lines.Scan())
			cmd.Wait()
			require.NoError(t, open(t, dir).Close())
			require.NoDirExists(t, filepath.Join(dir, ".ocireg"))
		})
	}
}
