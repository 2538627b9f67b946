package storagetest

import (
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"

	"tranche/storage"
)

// Plans collects how PostgreSQL executed the statements of a database that Explained opened.
type Plans struct {
	mu    sync.Mutex
	texts []string
}

// Take returns the plans, with what was measured, since it was last asked.
func (p *Plans) Take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	texts := p.texts
	p.texts = nil
	return texts
}

func (p *Plans) add(_ *pgconn.PgConn, notice *pgconn.Notice) {
	if !strings.HasPrefix(notice.Message, "duration:") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts = append(p.texts, notice.Message)
}

// Explained opens a database that is there and migrated, so that the server tells how it executes each statement.
func Explained(t testing.TB, dsn string, sealer *storage.Sealer) (*storage.DB, *Plans) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	plans := &Plans{}
	config.OnNotice = plans.add
	for name, value := range map[string]string{
		"session_preload_libraries": "auto_explain", "client_min_messages": "log",
		"auto_explain.log_min_duration": "0", "auto_explain.log_analyze": "on", "auto_explain.log_buffers": "on",
		"plan_cache_mode": "force_custom_plan", // as storage.Open says
	} {
		config.RuntimeParams[name] = value
	}
	db, err := storage.New(t.Context(), storage.Config{
		Dialect: storage.Postgres, Sealer: sealer, Write: postgres.New(postgres.Config{Conn: stdlib.OpenDB(*config)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db, plans
}
