package auth

import "os"

// writeProgram writes an executable file. No process can inherit it, because
// WASI starts none.
func writeProgram(name string, content []byte) error {
	return os.WriteFile(name, content, 0o755)
}
