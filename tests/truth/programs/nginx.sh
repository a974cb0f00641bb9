# A web server with two workers that send from files (sendfile) and from memory, asked so many times.
echo "user root;
daemon off;
worker_processes 2;
pid pid;
error_log errors;
events { }
http {
    access_log requests;
    server {
        listen 127.0.0.1:$PORT;
        root .;
        location /sent { sendfile on; }
        location /copied { sendfile off; }
        location /said { return 200 'words\n'; }
    }
}" >conf
seq 20000 >sent
seq 20000 >copied
nginx -p "$PWD" -e errors -c conf &
server=$!
until curl -s "http://127.0.0.1:$PORT/said" >/dev/null; do :; done
for path in sent copied said missing; do
    ab -q -k -c 8 -n "$1" "http://127.0.0.1:$PORT/$path" >"report-$path"
done
kill -QUIT $server
wait $server
