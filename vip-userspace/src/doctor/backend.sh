#!/bin/sh
# Made by `vip doctor backend`. Looks whether this machine, a backend, takes packets for the VIPs below without telling
# anybody that it has them. It changes nothing, unless it is called with --fix. It needs iproute2.
set -u
# No word is a pattern for names of files.
set -f
export LC_ALL=C

vips4="@VIPS4@"
vips6="@VIPS6@"
# Addresses of backends: the interface that has one of them is the one that requests come in by.
addresses4="@ADDRESSES4@"
addresses6="@ADDRESSES6@"
# Where something should listen.
listens="@LISTENS@"

fix=no
interfaces=
wrong=0
mended=0
found=

usage() {
    echo "usage: sh backend.sh [--fix] [--interface NAME]"
    echo "  --fix             mend what is wrong, as root; what is right is left as it is"
    echo "  --interface NAME  where requests come in [default: the interface with this backend's address, else all]"
    echo "Exit codes: 0 all is right, 1 something is wrong, 2 usage"
}

fail() {
    echo "error: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --fix) fix=yes ;;
        --interface)
            [ $# -ge 2 ] || fail "--interface needs a name"
            shift
            interfaces="$interfaces $1"
            ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
command -v ip >/dev/null || fail "there is no ip: install iproute2"
for name in $interfaces; do
    ip link show dev "$name" >/dev/null 2>&1 || fail "there is no interface $name"
done
if [ "$fix" = yes ] && [ "$(id -u)" != 0 ]; then
    fail "--fix needs root"
fi

say() {
    printf '%-6s %s\n' "$1" "$2"
}

# examine WORDS REMEDY TEST MEND [ARGUMENT ...]: tells whether TEST holds; with --fix MEND makes it hold.
examine() {
    words=$1 remedy=$2 holds=$3 mend=$4
    shift 4
    if "$holds" "$@"; then
        say ok "$words"
        return
    fi
    if [ "$fix" = yes ] && "$mend" "$@" && "$holds" "$@"; then
        say mended "$words"
        mended=$((mended + 1))
        return
    fi
    say WRONG "$words (found: $found)"
    say '' "do: $remedy"
    wrong=$((wrong + 1))
}

# --- The VIP on the loopback interface

# places FAMILY ADDRESS: where it is, a word for each place: INTERFACE/ADDRESS/LENGTH.
places() {
    ip -o "-$1" address show to "$2" | while read -r _ name _ address _; do
        echo "$name/$address"
    done
}

# is_silent INTERFACE: nobody is answered there.
is_silent() {
    case $(ip -o link show dev "$1") in
        *LOOPBACK* | *NOARP*) return 0 ;;
    esac
    return 1
}

lo_is_up() {
    found="it is down"
    [ -n "$(ip -o link show dev lo up)" ]
}

set_lo_up() {
    ip link set dev lo up
}

# is_held FAMILY VIP LENGTH
is_held() {
    found=
    bad=no
    for place in $(places "$1" "$2"); do
        found="$found${found:+, }${place#*/} on ${place%%/*}"
        case $place in
            */"$3") is_silent "${place%%/*}" || bad=yes ;;
            *) bad=yes ;;
        esac
    done
    if [ -z "$found" ]; then
        found="on no interface"
        return 1
    fi
    [ "$bad" = no ]
}

hold() {
    kept=no
    for place in $(places "$1" "$2"); do
        case $place in
            lo/*/"$3") kept=yes ;;
            # With a wide one, the kernel would delete what else is of its network (promote_secondaries is 0 on lo).
            lo/*) keep_others && ip "-$1" address delete "${place#*/}" dev lo || return 1 ;;
            */"$3") ! is_silent "${place%%/*}" || kept=yes ;;
        esac
    done
    if [ "$kept" = no ]; then
        add "$1" "$2" "$3" || return 1
    fi
    # What is wider than the VIP alone may be the only thing that other addresses there hang on: that is for people to move.
    for place in $(places "$1" "$2"); do
        case $place in
            */"$3") is_silent "${place%%/*}" || ip "-$1" address delete "${place#*/}" dev "${place%%/*}" || return 1 ;;
        esac
    done
}

# Others of the same network stay when the first of them goes.
keep_others() {
    sysctl -qw net.ipv4.conf.lo.promote_secondaries=1
}

add() {
    if [ "$1" = 6 ]; then
        ip -6 address add "$2/$3" dev lo nodad
    else
        ip -4 address add "$2/$3" dev lo
    fi
}

# --- ARP

# setting INTERFACE NAME
setting() {
    cat "/proc/sys/net/ipv4/conf/$1/$2" 2>/dev/null || echo 0
}

# effective INTERFACE NAME: the larger one of its own and of that for all holds.
effective() {
    own=$(setting "$1" "$2")
    all=$(setting all "$2")
    if [ "$all" -gt "$own" ]; then echo "$all"; else echo "$own"; fi
}

# write INTERFACE NAME VALUE
write() {
    [ "$(setting "$1" "$2")" = "$3" ] || echo "$3" >"/proc/sys/net/ipv4/conf/$1/$2"
}

# others: every interface but the loopback.
others() {
    ip -o link show | while read -r _ name _; do
        name=${name%:}
        name=${name%%@*}
        [ "$name" = lo ] || echo "$name"
    done
}

# 1 and 2 answer for addresses of the interface that is asked; 3 does for VIPs, 8 for nothing at all.
is_discreet() {
    for name in $(others); do
        found=$(effective "$name" arp_ignore)
        case $found in
            1 | 2) ;;
            *) found="$found on $name"; return 1 ;;
        esac
    done
}

be_discreet() {
    case $(setting all arp_ignore) in
        1 | 2) ;;
        *) write all arp_ignore 1 || return 1 ;;
    esac
    for name in $(others); do
        case $(effective "$name" arp_ignore) in
            1 | 2) ;;
            *) write "$name" arp_ignore 1 || return 1 ;;
        esac
    done
}

asks_by_its_own_name() {
    for name in $(others); do
        found="$(effective "$name" arp_announce) on $name"
        [ "${found%% *}" -ge 2 ] || return 1
    done
}

ask_by_its_own_name() {
    write all arp_announce 2
}

# --- The way in

# entries FAMILY ADDRESS ...: where requests come in.
entries() {
    if [ -n "$interfaces" ]; then
        echo "$interfaces"
        return
    fi
    family=$1
    shift
    names=
    for address in "$@"; do
        for place in $(places "$family" "$address"); do
            names="$names ${place%%/*}"
        done
    done
    if [ -n "$names" ]; then
        echo "$names"
        return
    fi
    ip -o "-$family" address show scope global | while read -r _ name _; do
        is_silent "$name" || echo "$name"
    done | sort -u
}

# lets_in INTERFACE: a strict filter drops requests of clients that are answered by another interface.
lets_in() {
    found=$(effective "$1" rp_filter)
    [ "$found" = 1 ] || return 0
    found="1, and answers leave elsewhere"
    if [ -n "$(ip -4 route show default)" ]; then
        [ -n "$(ip -4 route show default dev "$1")" ]
        return
    fi
    for name in $(others); do
        [ "$name" = "$1" ] || [ -z "$(ip -4 route show dev "$name")" ] || return 1
    done
}

let_in() {
    write "$1" rp_filter 2
}

# has_ipv6 INTERFACE
has_ipv6() {
    found="IPv6 is turned off"
    [ "$(cat "/proc/sys/net/ipv6/conf/$1/disable_ipv6" 2>/dev/null)" = 0 ]
}

turn_ipv6_on() {
    echo 0 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
}

# is_settled VIP: no duplicate address detection holds it back.
is_settled() {
    found="it is on no interface"
    [ -n "$(places 6 "$1")" ] || return 1
    found=
    for state in tentative dadfailed; do
        [ -z "$(ip -o -6 address show to "$1" "$state")" ] || found=$state
    done
    [ -z "$found" ]
}

settle() {
    for place in $(places 6 "$1"); do
        ip -6 address delete "${place#*/}" dev "${place%%/*}" || return 1
    done
    add 6 "$1" 128
}

# --- What listens: it is told, no more

# listening PROTOCOL PORT: local addresses of sockets.
listening() {
    case $1 in
        tcp) ss -Hltn "sport = :$2" ;;
        udp) ss -Hlun "sport = :$2" ;;
    esac | while read -r _ _ _ address _; do
        echo "$address"
    done
}

look_for_listener() {
    protocol=${1%%/*}
    where=${1#*/}
    port=${where##*:}
    for address in $(listening "$protocol" "$port"); do
        case $address in
            "$where" | "0.0.0.0:$port" | "*:$port" | "[::]:$port") return ;;
        esac
    done
    say note "nothing listens on $where ($protocol)"
}

# --- All of it

examine "lo is up" "ip link set lo up" lo_is_up set_lo_up
for vip in $vips4; do
    examine "$vip is on lo as /32, and nowhere else" \
        "ip address add $vip/32 dev lo, and delete it where it is otherwise" is_held hold 4 "$vip" 32
done
if [ -n "$vips4" ]; then
    examine "arp_ignore is 1 or 2: nobody is told of the VIPs" \
        "sysctl -w net.ipv4.conf.all.arp_ignore=1" is_discreet be_discreet
    examine "arp_announce is 2: nobody is asked in a VIP's name" \
        "sysctl -w net.ipv4.conf.all.arp_announce=2" asks_by_its_own_name ask_by_its_own_name
    for name in $(entries 4 $addresses4); do
        examine "rp_filter of $name lets requests in" "sysctl -w net/ipv4/conf/$name/rp_filter=2" lets_in let_in "$name"
    done
fi
if [ -n "$vips6" ]; then
    for name in lo $(entries 6 $addresses6); do
        examine "IPv6 works on $name" "sysctl -w net/ipv6/conf/$name/disable_ipv6=0" has_ipv6 turn_ipv6_on "$name"
    done
fi
for vip in $vips6; do
    examine "$vip is on lo as /128, and nowhere else" \
        "ip -6 address add $vip/128 dev lo nodad, and delete it where it is otherwise" is_held hold 6 "$vip" 128
    examine "$vip is held without duplicate address detection (nodad)" \
        "ip -6 address delete $vip/128 dev lo; ip -6 address add $vip/128 dev lo nodad" is_settled settle "$vip"
done
if command -v ss >/dev/null; then
    for listen in $listens; do
        look_for_listener "$listen"
    done
fi

echo "$wrong wrong, $mended mended"
if [ "$mended" -gt 0 ]; then
    echo "What was mended holds until the next boot: write it into /etc/sysctl.d and the network configuration as well"
fi
[ "$wrong" = 0 ]
