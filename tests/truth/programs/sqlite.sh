# A database of so many rows, in both journal modes, indexed, shrunk and dumped.
for mode in delete wal; do
    sqlite3 $mode.db "
        pragma journal_mode=$mode;
        create table t(a integer primary key, b text, c blob);
        with recursive n(x) as (select 1 union all select x+1 from n where x < $1)
            insert into t select x, printf('row %d', x), zeroblob(x % 997) from n;
        create index i on t(b);
        delete from t where a % 3 = 0;
        pragma wal_checkpoint;
        vacuum;"
    sqlite3 $mode.db .dump | sha256sum
done
for row in $(seq 20); do sqlite3 delete.db "insert into t(b) values ('alone $row')"; done
sqlite3 delete.db 'pragma integrity_check; select count(*), sum(length(c)) from t'
