#!/bin/busybox sh
# The first process in a guest of `cargo xtask kernels`: runs every test program, or a shell if the kernel's command line
# says vip_shell=1, and powers off. The kernel speaks on the first serial line, everybody else on the second.
export PATH=/bin HOME=/ RUST_BACKTRACE=0 VIP_TEST_SLOWNESS=6
# By its whole path: without /proc it can't find itself.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
exec </dev/ttyS1 >/dev/ttyS1 2>&1
echo "guest: Linux $(uname -r)"
for module in /modules/*; do
    insmod "$module" || echo "guest: $module can't be loaded"
done
ip link set lo up
if [ "$vip_shell" = 1 ]; then
    echo "guest: the tests are in /tests; exit to power off"
    setsid -c sh
else
    for test in /tests/*; do
        echo "guest: $(basename "$test") starts"
        # What asks no kernel is the same everywhere, and slow here.
        timeout 600 "$test" --show-output --skip the_fast_path_decides --skip on_the_host
        echo "guest: $(basename "$test") ended with $?"
    done
fi
echo "guest: that is all"
poweroff -f
