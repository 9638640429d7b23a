//! The fuzzer's target, where it is built by `cargo xtask fuzz`; else a program that repeats inputs and tells what each
//! of their frames gets. Only this crate, into which the decision is compiled, tells the fuzzer where it has been: what
//! is not the decision must stay outside of it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod planted;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(failure) = vip_fuzz::run(input, &planted::direct) {
        panic!("{failure}");
    }
});

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    vip_fuzz::mutate::input(data, size, most, seed, libfuzzer_sys::fuzzer_mutate)
});

#[cfg(not(fuzzing))]
mod repeat;

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    repeat::main()
}
