# Keys of all kinds, certificates, ciphers and digests, so many times.
for round in $(seq "$1"); do
    for kind in rsa ecdsa ed25519; do
        ssh-keygen -q -t $kind -N secret -C comment -f "$round-$kind"
        ssh-keygen -y -P secret -f "$round-$kind" | cut -d' ' -f1,2 >public
        cut -d' ' -f1,2 "$round-$kind.pub" | cmp - public
    done
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key -out certificate 2>log
    openssl x509 -in certificate -noout -text >text
    seq 200000 >plain
    openssl enc -aes-256-cbc -pbkdf2 -pass pass:word -in plain -out cipher
    openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:word -in cipher | cmp - plain
    openssl dgst -sha256 -sign key -out signature plain
done
