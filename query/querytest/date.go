package querytest

import (
	"time"

	"tranche/query"
)

func dates(function string, args []any) any {
	switch function {
	case query.FunctionDateTrunc:
		return truncated(args[1].(time.Time), args[0].(string))
	case query.FunctionDateDiff:
		micros, _ := query.UnitMicros(args[0].(string))
		return floorDiv(args[2].(time.Time).UnixMicro(), micros) - floorDiv(args[1].(time.Time).UnixMicro(), micros)
	case query.FunctionDateAdd:
		from := args[0].(time.Time).UnixMicro()
		to := from + args[1].(int64)
		if min(from, to) < query.FirstTime || max(from, to) >= query.AfterTime {
			return nil
		}
		return time.UnixMicro(to).UTC()
	case query.FunctionFromUnix:
		if n := args[0].(int64); n >= query.FirstTime/1e6 && n < query.AfterTime/1e6 {
			return time.Unix(n, 0).UTC()
		}
		return nil
	}
	t := args[0].(time.Time)
	switch function {
	case query.FunctionToYear:
		return int64(t.Year())
	case query.FunctionToMonth:
		return int64(t.Month())
	case query.FunctionToDayOfMonth:
		return int64(t.Day())
	case query.FunctionToDayOfWeek:
		return int64((t.Weekday()+6)%7) + 1
	case query.FunctionToHour:
		return int64(t.Hour())
	case query.FunctionToMinute:
		return int64(t.Minute())
	case query.FunctionToSecond:
		return int64(t.Second())
	}
	return floorDiv(t.UnixMicro(), 1e6)
}

func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

func truncated(t time.Time, unit string) time.Time {
	switch unit {
	case query.UnitYear:
		return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	case query.UnitMonth:
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	case query.UnitWeek:
		return time.Date(t.Year(), t.Month(), t.Day()-int(t.Weekday()+6)%7, 0, 0, 0, 0, time.UTC)
	}
	micros, _ := query.UnitMicros(unit)
	return time.UnixMicro(floorDiv(t.UnixMicro(), micros) * micros).UTC()
}
