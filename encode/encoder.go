package encode

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"tranche/batch"
)

// An Encoder writes record batches of one schema as one file. It is not safe for use by several goroutines; it has some
// of its own for the heavy work. The bytes of a file depend on its rows only, not on how they were cut into batches.
type Encoder interface {
	// Write adds the rows of a batch, which it neither keeps nor releases.
	Write(rows arrow.RecordBatch) error
	// Close ends the file and leaves the writer below open. A file without rows is a valid one.
	Close() error
	// Discard gives up a file that is not closed, and waits for what is still at work for it. It may always be called.
	Discard()
	// Size is how long the file would be if it ended now: what was written, and a fair estimate of what is buffered.
	Size() int64
}

// New starts a file on w. It refuses what Validate and Check refuse.
func New(w io.Writer, schema *arrow.Schema, o Options) (Encoder, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := Check(schema, o); err != nil {
		return nil, err
	}
	switch o.Format {
	case JSONLines:
		return newJSONLines(w, schema, o.Compression), nil
	case CSV:
		return newCSV(w, schema, o.Compression), nil
	case Parquet:
		return newParquet(w, schema, o.Compression)
	}
	return nil, o.Validate()
}

// Check refuses, with batch.CodeSchema, columns that the format cannot hold. Every other type is written.
func Check(schema *arrow.Schema, o Options) error {
	seen := make(map[string]bool, schema.NumFields())
	for _, f := range schema.Fields() {
		if seen[f.Name] {
			return batch.Errorf(batch.CodeSchema, nil, "two columns have the name %q", f.Name)
		}
		seen[f.Name] = true
		if err := checkType(f.Name, f.Type, o.Format); err != nil {
			return err
		}
	}
	if schema.NumFields() == 0 {
		return batch.Errorf(batch.CodeSchema, nil, "there are no columns to export")
	}
	return nil
}

// checkType follows nested types down.
func checkType(name string, t arrow.DataType, format Format) error {
	refused := func() error {
		return batch.Errorf(batch.CodeSchema, nil, "column %q has the type %s, which %s files cannot hold", name, t, format)
	}
	switch t := t.(type) {
	case arrow.ExtensionType:
		return checkType(name, t.StorageType(), format)
	case *arrow.DictionaryType:
		return checkType(name, t.ValueType, format)
	case *arrow.StructType:
		if format == Parquet && t.NumFields() == 0 {
			return refused()
		}
		for _, f := range t.Fields() {
			if err := checkType(name+"."+f.Name, f.Type, format); err != nil {
				return err
			}
		}
		return nil
	case *arrow.MapType:
		if isNested(t.KeyType()) {
			return refused()
		}
		if err := checkType(name, t.KeyType(), format); err != nil {
			return err
		}
		return checkType(name, t.ItemType(), format)
	case *arrow.ListViewType, *arrow.LargeListViewType:
		if format == Parquet {
			return refused()
		}
		return checkType(name, t.(arrow.ListLikeType).Elem(), format)
	case arrow.ListLikeType:
		return checkType(name, t.Elem(), format)
	}
	if !isScalar(t.ID()) {
		return refused()
	}
	return nil
}

func isNested(t arrow.DataType) bool {
	switch t := t.(type) {
	case arrow.ExtensionType:
		return isNested(t.StorageType())
	case *arrow.DictionaryType:
		return isNested(t.ValueType)
	case arrow.NestedType:
		return true
	}
	return false
}

// isScalar says whether values of the type can be written in every format.
func isScalar(id arrow.Type) bool {
	switch id { //nolint:exhaustive // the types that have no form in a file are the rest
	case arrow.NULL, arrow.BOOL,
		arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64,
		arrow.DECIMAL32, arrow.DECIMAL64, arrow.DECIMAL128, arrow.DECIMAL256,
		arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW,
		arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY,
		arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP, arrow.DURATION:
		return true
	}
	return false
}
