//! temp
use crate::emulated::host::context::Context;
use crate::kern_return::KernReturn;
pub(crate) fn is_registrable(f: i32) -> bool {
    f < 26
}
pub(crate) fn get(_c: &Context, _f: i32, _w: &mut [u32], _n: &mut u32) -> Result<(), KernReturn> {
    Err(KernReturn::FAILURE)
}
pub(crate) fn set(_c: &mut Context, _f: i32, _w: &[u32]) -> Result<(), KernReturn> {
    Err(KernReturn::FAILURE)
}
