# Installs Debian packages where that is allowed; for other scripts to read with `.`.

# Prints what makes root of us: nothing, "sudo -n", or a failure when neither will do.
as_root() {
    if [ "$(id -u)" = 0 ]; then echo ""; else sudo -n true 2>/dev/null && echo "sudo -n"; fi
}

# Installs Debian packages; says nothing, and fails, where it cannot.
install_packages() {
    command -v apt-get >/dev/null && root=$(as_root) || return 1
    say "installing $* with apt-get"
    apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -qq"
    {
        $apt update || true  # one source of several may be broken, and not matter
        $apt install -y --no-install-recommends "$@"
    } </dev/null >/dev/null 2>&1
}
