# So many pipelines of processes that live for a write or two.
for round in $(seq "$1"); do
    echo "$round" | tr 0-9 a-j | sed 's/./&&/g' | sort | uniq -c >>lines
    (printf '%s\n' "$round" >&2) 2>>errors
    seq "$round" | (head -n 3; cat >/dev/null) | wc -c >>counts
done
sha256sum lines errors counts
