# So many megabytes in files large and small: packed, compressed in two ways, and unpacked again.
mkdir tree
seq $(($1 * 140000)) >tree/large
seq $(($1 * 5000)) >numbers
split -l 50 -a 4 numbers tree/small-
tar --sort=name --mtime=@0 -cf tree.tar tree
gzip -n -k tree.tar
pigz -n -p 2 -c tree.tar >threads.gz
gunzip -c tree.tar.gz >again.tar
mkdir again
tar -C again -xf again.tar
diff -r tree again/tree
gunzip -c threads.gz | cmp - tree.tar
