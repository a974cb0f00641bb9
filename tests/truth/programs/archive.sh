# So many megabytes in files large and small: packed, compressed in two ways, and unpacked again.
mkdir tree
seq $(($1 * 140000)) >tree/large
seq $(($1 * 5000)) | split -l 50 -a 4 - tree/small-
tar --sort=name --mtime=@0 -cf tree.tar tree
gzip -n -k tree.tar
pigz -n -p 2 -c tree.tar >threads.gz
mkdir again
tar -C again -xzf tree.tar.gz
diff -r tree again/tree
gunzip -c threads.gz | cmp - tree.tar
