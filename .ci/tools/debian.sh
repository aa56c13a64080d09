#!/usr/bin/env bash
# Unpacks packages of Debian 12, and what they need that this machine lacks, into a folder. Nothing is installed, no package
# list of the system is touched, no root needed.
# usage: debian.sh [-r RELEASE] PACKAGE... DIR     PACKAGE may be NAME:arm64 (alone, without what it needs); -r prefers a release
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

prefer=()
if [ "$1" = -r ]; then
    prefer=(-t "$2")
    shift 2
fi
dir=${*: -1}
packages=("${@:1:$#-1}")

need apt-get "the stages that fetch a toolchain run on Debian 12"
need dpkg-deb "the stages that fetch a toolchain run on Debian 12"

apt=$cache/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$dir"
cat >"$apt/conf" <<CONF
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets { deb::DEP-11 { DefaultEnabled "false"; }; };
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
CONF
export APT_CONFIG=$apt/conf
# A machine's own lists may be months old and name versions that are gone. One update serves the calls of the next ten minutes.
if [ -z "$(find "$apt/updated" -mmin -10 2>/dev/null)" ]; then
    apt-get -qq update || die "Debian's package lists cannot be fetched"
    touch "$apt/updated"
fi

own=() wanted=()
for package in "${packages[@]}"; do
    case $package in
    *:arm64) ;;
    *) own+=("$package") ;;
    esac
    wanted+=("$package")
done
if [ ${#own[@]} -gt 0 ]; then
    plan=$(apt-get install -s --no-install-recommends ${prefer[@]+"${prefer[@]}"} "${own[@]}") ||
        die "Debian does not have all of: ${own[*]}"
    while read -r package; do
        wanted+=("$package")
    done < <(awk '/^Inst/ { print $2 }' <<<"$plan")
fi

debs=$dir/.debs
mkdir "$debs"
printf '%s\n' "${wanted[@]}" | sort -u >"$debs/wanted"
(cd "$debs" && xargs apt-get -qq ${prefer[@]+"${prefer[@]}"} download <wanted) ||
    die "packages of Debian cannot be fetched: $(xargs <"$debs/wanted")"
for package in "$debs"/*.deb; do
    case ${package##*/} in
    # The compiler's source is a gigabyte; the library's is what std is built from.
    rust-web-src*) dpkg-deb --fsys-tarfile "$package" |
        tar -x -C "$dir" --wildcards './usr/src/rustc-*/library' './usr/lib/rustlib/src' ;;
    *) dpkg-deb -x "$package" "$dir" ;;
    esac
done
rm -rf "$debs"
# Some of Debian 12's packages still name /lib, which is /usr/lib on an installed system.
if [ -d "$dir/lib" ]; then
    cp -a "$dir/lib/." "$dir/usr/lib/"
    rm -rf "${dir:?}/lib"
fi
