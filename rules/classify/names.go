// SPDX-License-Identifier: Apache-2.0

package classify

import "strconv"

// The names are those of the API, in upper snake case. A value without a name
// prints as its number and parses from nothing.

func classNames() []string {
	return []string{
		"UNSPECIFIED", "OK", "TRANSIENT", "PERSISTENT", "QUALITY", "PARTIAL",
		"UNRECOVERABLE", "PRESSURE", "DETERMINISTIC", "ABORTED", "UNKNOWN",
	}
}

func certaintyNames() []string {
	return []string{"UNSPECIFIED", "NOT_SENT", "REJECTED", "AMBIGUOUS", "PROCESSED"}
}

func effectNames() []string { return []string{"NEUTRAL", "SUCCESS", "FAILURE"} }

func dispositionNames() []string {
	return []string{"DEAD_LETTER", "MANUAL", "STOP", "RETRY_ONCE"}
}

func qualityNames() []string {
	return []string{
		"NONE", "SCHEMA_VIOLATION", "HALLUCINATED_TOOL", "BAD_TOOL_ARGS", "REFUSAL",
		"EMPTY", "TRUNCATED", "SEMANTIC_FAIL", "LOW_CONFIDENCE", "NEEDS_INFO",
		"NEEDS_AUTHORITY", "AMBIGUOUS_TASK", "COST_COMMITMENT",
	}
}

func outcomeNames() []string {
	return []string{"UNSPECIFIED", "SUCCESS", "FAILURE", "CANCELLED", "RELEASED"}
}

func phaseNames() []string {
	return []string{"UNSPECIFIED", "BEFORE_SEND", "CONNECTING", "BODY_SENT", "FIRST_BYTE"}
}

func nameOf[T ~uint8](value T, names []string) string {
	if int(value) < len(names) {
		return names[value]
	}
	return strconv.Itoa(int(value))
}

func valueOf[T ~uint8](name string, names []string) (T, bool) {
	for i, known := range names {
		if known == name {
			return T(i), true
		}
	}
	return 0, false
}

// String returns the class's name.
func (c Class) String() string { return nameOf(c, classNames()) }

// String returns the certainty's name.
func (c Certainty) String() string { return nameOf(c, certaintyNames()) }

// String returns the effect's name.
func (e Effect) String() string { return nameOf(e, effectNames()) }

// String returns the disposition's name.
func (d Disposition) String() string { return nameOf(d, dispositionNames()) }

// String returns the verdict's name; NONE for no verdict.
func (q QualityVerdict) String() string { return nameOf(q, qualityNames()) }

// String returns the outcome's name.
func (o Outcome) String() string { return nameOf(o, outcomeNames()) }

// String returns the phase's name.
func (p Phase) String() string { return nameOf(p, phaseNames()) }

// ParseClass finds a class by its name.
func ParseClass(name string) (Class, bool) { return valueOf[Class](name, classNames()) }

// ParseCertainty finds a certainty by its name.
func ParseCertainty(name string) (Certainty, bool) {
	return valueOf[Certainty](name, certaintyNames())
}

// ParseEffect finds an effect by its name.
func ParseEffect(name string) (Effect, bool) { return valueOf[Effect](name, effectNames()) }

// ParseDisposition finds a disposition by its name.
func ParseDisposition(name string) (Disposition, bool) {
	return valueOf[Disposition](name, dispositionNames())
}

// ParseQualityVerdict finds a quality verdict by its name.
func ParseQualityVerdict(name string) (QualityVerdict, bool) {
	return valueOf[QualityVerdict](name, qualityNames())
}

// ParseOutcome finds an outcome by its name.
func ParseOutcome(name string) (Outcome, bool) { return valueOf[Outcome](name, outcomeNames()) }

// ParsePhase finds a phase by its name.
func ParsePhase(name string) (Phase, bool) { return valueOf[Phase](name, phaseNames()) }
