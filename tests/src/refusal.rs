use ghostlight_kernels::{DType, KernelError};
use std::fmt::Debug;

/// Asserts that `result` refuses the shape `shape` of `name`, and says so.
pub fn assert_refuses_shape<T: Debug>(result: Result<T, KernelError>, name: &str, shape: &[usize]) {
    let error = result.expect_err("a wrong shape is refused");
    let KernelError::Shape {
        tensor, ref got, ..
    } = error
    else {
        panic!("{error:?}, wanted a refusal of the shape of {name}");
    };
    assert_eq!((tensor, got.as_slice()), (name, shape));
    let said = format!("{name} has shape {shape:?}, wanted ");
    assert!(error.to_string().contains(&said), "{error}");
}

/// Asserts that `result` refuses the element type `dtype` of `name`, and says so.
pub fn assert_refuses_dtype<T: Debug>(result: Result<T, KernelError>, name: &str, dtype: DType) {
    let error = result.expect_err("a wrong element type is refused");
    let KernelError::DType { tensor, got, .. } = error else {
        panic!("{error:?}, wanted a refusal of the element type of {name}");
    };
    assert_eq!((tensor, got), (name, dtype));
    let said = format!("{name} holds {dtype:?}, wanted ");
    assert!(error.to_string().contains(&said), "{error}");
}

/// Asserts that `result` refuses the value `value` of `name`, and says so.
pub fn assert_refuses_range<T: Debug>(
    result: Result<T, KernelError>,
    name: &str,
    value: impl ToString,
) {
    let value = value.to_string();
    let error = result.expect_err("a value out of range is refused");
    let KernelError::Range {
        parameter, ref got, ..
    } = error
    else {
        panic!("{error:?}, wanted a refusal of {name} = {value}");
    };
    assert_eq!((parameter, got), (name, &value));
    let said = format!("{name} is {value}, wanted ");
    assert!(error.to_string().contains(&said), "{error}");
}
