# Every call that writes, with odd sizes and with everything that can be wrong, so many times.
gcc -O1 -w -o calls "$(dirname "$0")/calls.c"  # it does on purpose what compilers warn of
for round in $(seq "$1"); do ./calls "$round"; done
