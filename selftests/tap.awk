# SPDX-License-Identifier: MIT
# Reads the TAP of one step, prints each failure with the diagnostics before it
# and the reason of each skipped test, and ends with "COUNT passed failed
# skipped". A plan that was announced and not fulfilled is a failure.
#
#	awk -v step=NAME -v status=EXIT -f tap.awk

function close_plan() {
	if (seen < plan) {
		failed++
		printf "not ok %s: %s: %d of %d tests reported: it died or was stopped\n",
			step, program, seen, plan
		printf "%s", notes
	}
	plan = seen = 0
	notes = ""
}

BEGIN { program = step }

{ sub(/\r$/, "") }

/^# program: / {
	close_plan()
	program = $3
	next
}

/^TAP version/ { close_plan(); next }

/^1\.\.[0-9]+/ { plan = substr($1, 4) + 0; next }

/^ok / {
	seen++
	if ($0 ~ /# SKIP/) {
		skipped++
		sub(/^ok [0-9]+ /, "")
		sub(/ # SKIP /, ": ")
		printf "skipped %s/%s\n", step, $0
	} else {
		passed++
	}
	notes = ""
	next
}

/^not ok / {
	seen++
	failed++
	sub(/^not ok [0-9]+ /, "")
	printf "not ok %s: %s/%s\n%s", step, program, $0, notes
	notes = ""
	next
}

{ notes = notes "    " $0 "\n" }

END {
	close_plan()
	# A step that ended badly without saying so in TAP.
	if (status != 0 && !failed) {
		failed++
		printf "not ok %s: exit status %d\n%s", step, status, notes
	}
	if (!(passed + failed + skipped)) {
		failed++
		printf "not ok %s: no test reported\n%s", step, notes
	}
	printf "COUNT %d %d %d\n", passed, failed, skipped
}
