package storage

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"tranche/internal/auth"
)

// projectRow is a row of the table projects.
type projectRow struct {
	ID             int64 `gorm:"primaryKey;autoIncrement:false"`
	OrganizationID int64
	Name           string
	Timezone       string
}

// TableName names the table for GORM.
func (projectRow) TableName() string { return "projects" }

// projectRowOf maps a project to its row.
func projectRowOf(p auth.Project) projectRow {
	return projectRow{ID: p.ID, OrganizationID: p.OrganizationID, Name: p.Name, Timezone: p.Timezone}
}

// projectOf maps a row to its project.
func projectOf(r projectRow) auth.Project {
	return auth.Project{ID: r.ID, OrganizationID: r.OrganizationID, Name: r.Name, Timezone: r.Timezone}
}

// organizationRow is a row of the table organizations.
type organizationRow struct {
	ID int64 `gorm:"primaryKey;autoIncrement:false"`
}

// TableName names the table for GORM.
func (organizationRow) TableName() string { return "organizations" }

// userRow is a row of the table users.
type userRow struct {
	ID int64 `gorm:"primaryKey;autoIncrement:false"`
}

// TableName names the table for GORM.
func (userRow) TableName() string { return "users" }

// EnsureProject makes the organization, its project and the user, as far as they are missing. A project never moves to
// another organization: that is an error.
func (db *DB) EnsureProject(ctx context.Context, organization, project, user int64) error {
	return db.transact(ctx, "ensure project", func(tx *gorm.DB) error {
		missing := clause.OnConflict{DoNothing: true}
		if err := tx.Clauses(missing).Create(&organizationRow{ID: organization}).Error; err != nil {
			return err
		}
		if err := tx.Clauses(missing).Create(&userRow{ID: user}).Error; err != nil {
			return err
		}
		wanted := projectRowOf(auth.Project{
			ID: project, OrganizationID: organization, Name: fmt.Sprintf("Project %d", project), Timezone: "UTC",
		})
		if err := tx.Clauses(missing).Create(&wanted).Error; err != nil {
			return err
		}
		var found projectRow
		if err := tx.Where("id = ?", project).Take(&found).Error; err != nil {
			return err
		}
		if found.OrganizationID != organization {
			return fmt.Errorf("project %d belongs to organization %d", project, found.OrganizationID)
		}
		return nil
	})
}

// Project returns a project.
func (db *DB) Project(ctx context.Context, id int64) (auth.Project, error) {
	var row projectRow
	if err := db.reading(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return auth.Project{}, classify("read project", err)
	}
	return projectOf(row), nil
}
