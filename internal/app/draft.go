package app

import (
	"errors"
	"fmt"
	"strings"

	"tranche/batch"
	"tranche/destinations"
)

// exportOf validates a draft. The first problem is returned.
func (s *Exports) exportOf(d Draft) (batch.Export, error) {
	e := batch.Export{
		Name: strings.TrimSpace(d.Name), Model: d.Model,
		Timezone: d.Timezone, OffsetDay: d.OffsetDay, OffsetHour: d.OffsetHour,
		StartAt: d.StartAt, EndAt: d.EndAt, Paused: d.Paused,
	}
	if e.Name == "" {
		return e, invalid("name", codeBlank, "This field may not be blank.")
	}
	if e.Model == "" {
		e.Model = batch.ModelEvents
	}
	var err error
	if e.Destination, err = s.destinationOf(d.Destination); err != nil {
		return e, err
	}
	if err := setCalendar(&e, d.Interval); err != nil {
		return e, err
	}
	if err := s.setSelection(&e, d.Selection); err != nil {
		return e, err
	}
	if err := s.checkModel(e); err != nil {
		return e, err
	}
	if d.Paused {
		setPaused(&e, true, s.Now())
	}
	if d.LastPausedAt != nil {
		e.LastPausedAt = d.LastPausedAt
	}
	return e, nil
}

// checkModel refuses a model that the server does not have, or that the destination cannot take.
func (s *Exports) checkModel(e batch.Export) error {
	if e.Selection.Custom() {
		return nil // its query names the model, and the columns
	}
	m, ok := s.Models.Model(e.Model)
	if !ok {
		return invalid("model", codeInvalid, "The model '%s' is not available on this server.", e.Model)
	}
	plugin, _ := s.Plugins.Plugin(e.Destination.Type)
	if _, err := plugin.Columns(e.Destination.Config, m); err != nil {
		if known, ok := errors.AsType[*batch.Error](err); ok {
			return invalid("model", codeInvalid, "The model '%s' cannot go to this destination: %s.", e.Model, known.Message)
		}
		return err
	}
	return nil
}

// destinationOf parses the destination's settings.
func (s *Exports) destinationOf(d DestinationDraft) (batch.Destination, error) {
	plugin, ok := s.Plugins.Plugin(d.Type)
	if !ok {
		return batch.Destination{}, invalid("destination__type", codeChoice, "%q is not a valid choice.", d.Type)
	}
	config, err := parse(plugin, d.Config, nil)
	if err != nil {
		return batch.Destination{}, err
	}
	return batch.Destination{Type: d.Type, Config: config, Integration: d.Integration}, nil
}

// parse lays settings over the stored ones and checks them.
func parse(plugin destinations.Plugin, sent, stored map[string]any) (map[string]any, error) {
	config, err := plugin.Parse(sent, stored)
	if bad, ok := errors.AsType[*destinations.ConfigError](err); ok {
		return nil, invalid("destination", codeInvalid, "%s", bad.Detail)
	}
	if err != nil {
		return nil, fmt.Errorf("parse destination settings: %w", err)
	}
	return config, nil
}

// setCalendar validates interval, timezone and offsets, and sets them.
func setCalendar(e *batch.Export, interval string) error {
	e.Frequency = batch.Hourly
	if interval != "" {
		f, ok := batch.ParseFrequency(interval)
		if !ok {
			return invalid("interval", codeChoice, "%q is not a valid choice.", interval)
		}
		e.Frequency = f
	}
	if e.Timezone == "" {
		e.Timezone = "UTC"
	}
	if _, err := batch.LoadLocation(e.Timezone); err != nil {
		return invalid("timezone", codeChoice, "%q is not a valid choice.", e.Timezone)
	}
	if err := inRange("offset_day", e.OffsetDay, 6); err != nil {
		return err
	}
	if err := inRange("offset_hour", e.OffsetHour, 23); err != nil {
		return err
	}
	switch {
	case e.OffsetDay != nil && e.Frequency == batch.Daily:
		return invalid("offset_day", codeInvalid, "offset_day should not be specified for daily intervals")
	case e.OffsetDay != nil && e.Frequency != batch.Weekly:
		return invalid("offset_day", codeInvalid, "offset_day is not applicable for non-weekly intervals")
	case e.OffsetHour != nil && !e.Frequency.InLocalTime():
		return invalid("offset_hour", codeInvalid, "offset_hour is not applicable for non-daily/weekly intervals")
	}
	if e.StartAt != nil && e.EndAt != nil && !e.StartAt.Before(*e.EndAt) {
		return invalid("end_at", codeInvalid, "'end_at' must be after 'start_at'")
	}
	return nil
}

// inRange checks 0 <= *v <= most.
func inRange(attr string, v *int, most int) error {
	switch {
	case v == nil:
		return nil
	case *v < 0:
		return invalid(attr, codeMin, "Ensure this value is greater than or equal to 0.")
	case *v > most:
		return invalid(attr, codeMax, "Ensure this value is less than or equal to %d.", most)
	}
	return nil
}
