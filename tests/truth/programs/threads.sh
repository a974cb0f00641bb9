# Eight threads that write at once, so many times each: to a file, a pipe and a socket.
gcc -O1 -pthread -o threads "$(dirname "$0")/threads.c"
./threads "$1" | wc -c
