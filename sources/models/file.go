// Package models reads models.yaml, in which the operator says in which tables and columns models are, and declares
// models of their own.
package models

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"

	"tranche/batch"
	"tranche/query"
)

// A File is what models.yaml says.
type File struct {
	// Catalog is all that can be exported: the models that it began with, as the file changes them, and the declared ones.
	Catalog query.Catalog
	// Named are the models that the file has something to say about.
	Named []batch.Model
}

const (
	// maxBytes bounds the file.
	maxBytes = 1 << 20
	// maxModels and maxFields bound what it may declare.
	maxModels = 100
	maxFields = 500
)

// ReadFile reads a file of models over those that the server has anyway. All its problems are told at once.
func ReadFile(path string, base query.Catalog) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return File{}, errors.New("there is no such file")
		}
		return File{}, errors.New("the file cannot be read")
	}
	defer f.Close()
	return Read(f, base)
}

// Read is ReadFile of what a file holds.
func Read(from io.Reader, base query.Catalog) (File, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxBytes+1))
	if err != nil {
		return File{}, errors.New("the file cannot be read")
	}
	if len(text) > maxBytes {
		return File{}, fmt.Errorf("the file is larger than %d MiB", maxBytes>>20)
	}
	named, err := entries(text)
	if err != nil {
		return File{}, err
	}
	file := File{Catalog: slices.Clone(base)}
	var problems []error
	for _, e := range named {
		m, keep, err := e.model(base)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		name := batch.Model(e.name)
		file.Named = append(file.Named, name)
		if keep {
			file.Catalog = file.Catalog.With(m)
		} else {
			file.Catalog = slices.DeleteFunc(file.Catalog, func(m query.Model) bool { return m.Name == name })
			file.Named = file.Named[:len(file.Named)-1]
		}
	}
	if len(problems) == 0 && len(file.Catalog) == 0 {
		problems = append(problems, errors.New("no model is left that could be exported"))
	}
	return file, errors.Join(problems...)
}

// An entry is a model of the file, as it stands there.
type entry struct {
	name  string
	value *yaml.Node
}

// entries finds the models of the file, in their order.
func entries(text []byte) ([]entry, error) {
	var document struct {
		Models yaml.Node `yaml:"models"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty: it needs the key models")
		}
		return nil, describe(err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one document")
	}
	list := document.Models
	if list.Kind != yaml.MappingNode || len(list.Content) == 0 {
		return nil, errors.New("models must be a mapping from names of models to what they are")
	}
	if len(list.Content)/2 > maxModels {
		return nil, fmt.Errorf("the file has more than %d models", maxModels)
	}
	var named []entry
	var problems []error
	for i := 0; i+1 < len(list.Content); i += 2 {
		e := entry{name: list.Content[i].Value, value: list.Content[i+1]}
		if slices.ContainsFunc(named, func(other entry) bool { return other.name == e.name }) {
			problems = append(problems, fmt.Errorf("model %s: it is there twice", e.name))
		}
		named = append(named, e)
	}
	return named, errors.Join(problems...)
}

// describe gives out each of what a decoder found wrong.
func describe(err error) error {
	if many, ok := errors.AsType[*yaml.TypeError](err); ok {
		problems := make([]error, len(many.Errors))
		for i, one := range many.Errors {
			problems[i] = errors.New(one)
		}
		return errors.Join(problems...)
	}
	return err
}
