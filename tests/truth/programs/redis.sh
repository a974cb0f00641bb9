# A database server with threads that write, asked so many times for each of some commands.
redis-server --bind 127.0.0.1 --port "$PORT" --unixsocket socket --io-threads 3 --appendonly yes \
    >log &
server=$!
until redis-cli -s socket ping >/dev/null 2>&1; do :; done
redis-benchmark -p "$PORT" -n "$1" -c 20 -P 4 -t set,get,lpush,lrange_100,mset -q >report
redis-benchmark -s socket -n "$1" -d 20000 -t set,get -q >>report
redis-cli -s socket bgsave
redis-cli -s socket bgrewriteaof
redis-cli -s socket shutdown save
wait $server
