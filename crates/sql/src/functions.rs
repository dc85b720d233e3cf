//! Functions of Flink's that DataFusion lacks, or has with another meaning.
//!
//! Invariants: names are found in any case (DataFusion looks them up in lower case); what cannot
//! be read (a date in another format) is NULL, as in Flink, unless it is a mistake in the query.

mod pattern;

mod clock;
mod kind;
mod number;
mod text;
mod time;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use thalweg_types::Error;

use self::pattern::Pattern;
use crate::text::wrap;

pub(crate) use clock::{clock_types, is_processing_time};
pub(crate) use kind::TYPEOF;
pub(crate) use text::SPLIT;
pub(crate) use time::date_format;

/// Returns all functions of this module.
pub(crate) fn all() -> Vec<ScalarUDF> {
    let functions = [clock::all(), kind::all(), number::all(), text::all(), time::all()];
    functions.into_iter().flatten().map(ScalarUDF::from).collect()
}

/// Returns the one-byte delimiter that `value` is, if it is one.
pub(crate) fn one_byte(value: &ScalarValue) -> Option<u8> {
    let text = match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => text,
        _ => return None,
    };
    match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A text, given to the body as a string view.
    Text,
    /// A whole number, given to the body as BIGINT.
    Whole,
    /// Any number, given to the body as it is.
    Number,
    /// A time or date, or a text that reads as one; given to the body in microseconds.
    Time,
    /// Anything, given to the body as it is.
    Any,
}

impl Kind {
    fn takes(self, kind: &DataType) -> bool {
        let is_text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        *kind == DataType::Null
            || match self {
                Kind::Text => is_text,
                Kind::Whole => kind.is_integer(),
                Kind::Number => kind.is_numeric(),
                Kind::Any => true,
                Kind::Time => {
                    is_text || matches!(kind, DataType::Timestamp(_, _) | DataType::Date32)
                }
            }
    }

    fn given(self, column: ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Kind::Text => cast(&column, &DataType::Utf8View)?,
            Kind::Whole => cast(&column, &DataType::Int64)?,
            Kind::Number | Kind::Any => column,
            Kind::Time => cast(&column, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
        })
    }
}

/// A function over whole columns.
struct Function {
    name: &'static str,
    /// How to write it, for errors.
    usage: &'static str,
    arguments: &'static [Kind],
    /// How many of the arguments may be left out, from behind.
    optional: usize,
    signature: Signature,
    aliases: Vec<String>,
    returns: fn(&[DataType]) -> DataType,
    /// The argument that is a date pattern, if there is one.
    pattern: Option<usize>,
    /// Shapes: in a column for each argument given; out one of as many rows.
    body: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

impl Function {
    fn new(usage: &'static str, arguments: &'static [Kind]) -> Function {
        Function {
            name: "",
            usage,
            arguments,
            optional: 0,
            signature: Signature::any(arguments.len(), Volatility::Immutable),
            aliases: Vec::new(),
            returns: |_| DataType::Utf8View,
            pattern: None,
            body: |_| Err(wrap(Error::internal("a function without a body"))),
        }
    }

    /// Allows to leave out the last `count` arguments.
    fn optional(mut self, count: usize) -> Function {
        let most = self.arguments.len();
        let any =
            |count| if count == 0 { TypeSignature::Nullary } else { TypeSignature::Any(count) };
        let forms = (most - count..=most).map(any).collect();
        self.signature = Signature::one_of(forms, Volatility::Immutable);
        self.optional = count;
        self
    }

    fn named(mut self, name: &'static str, returns: fn(&[DataType]) -> DataType) -> Function {
        (self.name, self.returns) = (name, returns);
        self
    }

    fn alias(mut self, alias: &str) -> Function {
        self.aliases.push(alias.to_owned());
        self
    }

    /// Says that an argument is a date pattern, to be read while planning if it is constant.
    fn pattern(mut self, argument: usize) -> Function {
        self.pattern = Some(argument);
        self
    }

    fn volatile(mut self) -> Function {
        self.signature.volatility = Volatility::Volatile;
        self
    }

    fn body(mut self, body: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Function {
        self.body = body;
        self
    }

    fn check(&self, kinds: &[DataType]) -> Result<()> {
        let fits = (self.arguments.len() - self.optional..=self.arguments.len())
            .contains(&kinds.len())
            && self.arguments.iter().zip(kinds).all(|(wanted, kind)| wanted.takes(kind));
        if fits {
            return Ok(());
        }
        let kinds = kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let name = self.name.to_ascii_uppercase();
        Err(wrap(
            Error::invalid(format!("{name} does not take ({kinds})"))
                .remedy(format!("write {}", self.usage)),
        ))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        self.check(kinds)?;
        Ok((self.returns)(kinds))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let kinds: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let pattern = self.pattern.and_then(|at| args.scalar_arguments.get(at).copied().flatten());
        if let Some(Some(text)) = pattern.and_then(|value| value.try_as_str()) {
            Pattern::new(text).map_err(wrap)?;
        }
        Ok(Arc::new(Field::new(self.name, self.return_type(&kinds)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let columns = self.arguments.iter().zip(&args.args);
        let columns = columns.map(|(kind, value)| kind.given(value.to_array(rows)?));
        let result = (self.body)(&columns.collect::<Result<Vec<_>>>()?)?;
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

/// Returns the text of a row, if it has one.
fn text_at(texts: &StringViewArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

#[cfg(test)]
mod tests;
