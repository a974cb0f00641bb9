# A repository of so many files: two commits of them, then packed, checked and cloned.
export GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_AUTHOR_DATE='1700000000 +0000'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_COMMITTER_DATE='1700000000 +0000'

git init -q repository
cd repository
git config pack.threads 1
seq $(($1 * 97)) | split -l 97 -a 4 -d - file-
git add .
git commit -q -m first
seq 5000 >>file-0000
git mv file-0001 renamed
git commit -q -a -m second
git gc -q
git fsck
git log --stat -1 | tail -3
git clone -q . ../clone
cat ../clone/* | sha256sum
