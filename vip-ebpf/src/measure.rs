//! The programs that measure the director: floor, bare answer and the driver that feeds them.
#![no_std]
#![no_main]

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
