package house

// rooms lists every package that users see, with the packages of this module that
// it may import. Internal packages are in the list only if they import one of
// these. The order is from the bottom to the top: a package may import only those
// before it. Every package may import internal ones.
var rooms = []struct {
	path    string
	imports []string
}{
	{".", nil},
	{"memstore", []string{"."}},
	{"layout", []string{"."}},
	{"registrytest/overlay", []string{"."}},
	{"internal/remote", []string{"."}},
	{"internal/differential", []string{".", "memstore", "layout", "registrytest/overlay"}},
	{"internal/campaign", []string{".", "memstore", "layout"}},
	{"registrytest/content", []string{"."}},
	{"registrytest/content/referrer", []string{"registrytest/content"}},
	{"registrytest/content/archive", []string{".", "layout", "registrytest/content"}},
	{"internal/recipe", []string{".", "registrytest/content"}},
	{"internal/image", []string{"layout", "registrytest/content"}},
	{"registrytest/journal", []string{"."}},
	{"registrytest/journal/export", []string{".", "registrytest/journal"}},
	{"registrytest/inject", []string{"."}},
	{"registrytest/fault", []string{".", "registrytest/inject"}},
	{"registrytest/lint", []string{".", "registrytest/journal"}},
	{"registrytest/auth", []string{"."}},
	{"registrytest/flatpak", []string{"."}},
	{"registrytest/conformance", []string{".", "registrytest/content"}},
	{"registrytest", []string{".", "memstore", "registrytest/content", "registrytest/journal", "registrytest/inject"}},
	{"registrytest/external", []string{"registrytest/content", "registrytest"}},
	{"registrytest/explore", []string{".", "registrytest/content", "registrytest/journal", "registrytest/fault", "registrytest/inject", "registrytest", "registrytest/auth"}},
	{"registrytest/upstream", []string{"."}},
	{"registrytest/keep", []string{".", "layout", "registrytest/content", "registrytest/journal", "registrytest/journal/export", "registrytest"}},
	{"registrytest/profile", []string{".", "registrytest/journal", "registrytest/fault", "registrytest/inject", "registrytest/auth"}},
	{"registrytest/control", []string{".", "memstore", "layout", "registrytest/content", "registrytest/content/archive", "registrytest/journal", "registrytest/journal/export", "registrytest/fault", "registrytest/inject", "registrytest/lint", "registrytest/auth", "registrytest"}},
	{"internal/check", []string{".", "memstore", "layout", "registrytest/content", "registrytest/journal", "registrytest/fault", "registrytest/inject", "registrytest/lint", "registrytest/auth", "registrytest"}},
	{"cmd/ocireg", []string{".", "memstore", "layout", "registrytest/overlay", "registrytest/journal", "registrytest/fault", "registrytest/inject", "registrytest/auth", "registrytest/flatpak", "registrytest", "registrytest/upstream", "registrytest/profile", "registrytest/control"}},
}
