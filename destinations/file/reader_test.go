package file_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"tranche/destinations/destinationtest"
)

const staging = ".staging"

// readRows reads every file that a reader sees.
func readRows(root string) ([]destinationtest.Row, error) {
	objects := make(map[string][]byte)
	err := walk(root, func(key string) error {
		body, err := os.ReadFile(filepath.Join(root, key))
		objects[key] = body
		return err
	})
	if err != nil {
		return nil, err
	}
	return destinationtest.ReadObjects(objects)
}

// walk visits every file outside the staging folder.
func walk(root string, visit func(key string) error) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Name() == staging {
			return filepath.SkipDir
		}
		if e.IsDir() {
			return nil
		}
		key, err := filepath.Rel(root, path)
		return errors.Join(err, visit(key))
	})
}

// staged lists what is in the staging folder.
func staged(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, staging))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}
