# A web server that sends a small file and a large one to so many clients.
seq 10 >small
seq 100000 >large
mkfifo ready
$PYTHON -u -m http.server --bind 127.0.0.1 "$PORT" >ready 2>log &
server=$!
read -r line <ready  # it says where it serves, and only then accepts
for client in $(seq "$1"); do
    curl -s "http://127.0.0.1:$PORT/small" | cmp - small
    curl -s -o got "http://127.0.0.1:$PORT/large"
    cmp got large
    curl -s -d "client=$client" "http://127.0.0.1:$PORT/" >refused
done
kill $server
wait $server || [ $? = 143 ]
