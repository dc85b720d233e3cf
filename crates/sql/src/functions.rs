//! Functions of Flink's that DataFusion lacks, or has with another meaning.
//!
//! Invariants: names are found in any case (DataFusion looks them up in lower case); what cannot
//! be read (a date in another format) is NULL, as in Flink, unless it is a mistake in the query.

mod calendar;
mod pattern;

mod clock;
mod encoding;
mod json;
mod kind;
mod number;
mod regexp;
mod text;
mod time;
mod url;

mod collection;
mod digest;
mod printf;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringViewArray, new_empty_array};
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

pub(crate) use clock::{CURRENT_WATERMARK, clock_types, is_processing_time, now};
pub(crate) use json::json_values;
pub(crate) use kind::{OVERLAPS, TYPEOF};
pub(crate) use text::{SPLIT, overlay};
pub(crate) use time::{date_format, to_timestamp_ltz};

/// Returns all functions of this module.
pub(crate) fn all() -> Vec<ScalarUDF> {
    let functions = [
        calendar::all(),
        clock::all(),
        collection::all(),
        digest::all(),
        encoding::all(),
        json::all(),
        kind::all(),
        number::all(),
        printf::all(),
        regexp::all(),
        text::all(),
        time::all(),
        url::all(),
    ];
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
    /// A time, a date or a time of day, given to the body as it is.
    Moment,
    /// A number or a moment, given to the body as it is.
    Scalar,
    /// A whole number or a text, given to the body as BIGINT or as a string view.
    WholeOrText,
    /// An array, given to the body as it is.
    Array,
    /// A map, given to the body as it is.
    Map,
    /// A text or bytes, given to the body as bytes.
    TextOrBytes,
    /// Bytes, given to the body as BYTES.
    Bytes,
    /// Anything, given to the body as it is.
    Any,
    /// A time or date, or a text that reads as one; given to the body in microseconds.
    Time,
}

impl Kind {
    fn takes(self, kind: &DataType) -> bool {
        let is_text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        *kind == DataType::Null
            || match self {
                Kind::Text => is_text,
                Kind::Whole => kind.is_integer(),
                Kind::Number => kind.is_numeric(),
                Kind::Moment => is_moment(kind),
                Kind::Scalar => kind.is_numeric() || is_moment(kind),
                Kind::WholeOrText => is_text || kind.is_integer(),
                Kind::Bytes => kind.is_binary(),
                Kind::Array => matches!(kind, DataType::List(_)),
                Kind::Map => matches!(kind, DataType::Map(_, _)),
                Kind::TextOrBytes => is_text || kind.is_binary(),
                Kind::Any => true,
                Kind::Time => {
                    is_text || matches!(kind, DataType::Timestamp(_, _) | DataType::Date32)
                }
            }
    }

    fn given(self, column: ArrayRef) -> Result<ArrayRef> {
        let is_null = *column.data_type() == DataType::Null;
        Ok(match self {
            Kind::WholeOrText if column.data_type().is_integer() => {
                cast(&column, &DataType::Int64)?
            }
            Kind::Text | Kind::WholeOrText => cast(&column, &DataType::Utf8View)?,
            Kind::Whole => cast(&column, &DataType::Int64)?,
            Kind::Number | Kind::Scalar if is_null => cast(&column, &DataType::Float64)?,
            Kind::Moment if is_null => {
                cast(&column, &DataType::Timestamp(TimeUnit::Millisecond, None))?
            }
            Kind::Number | Kind::Scalar | Kind::Moment => column,
            Kind::Array | Kind::Map | Kind::Any => column,
            Kind::Bytes | Kind::TextOrBytes => cast(&column, &DataType::Binary)?,
            Kind::Time => cast(&column, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
        })
    }
}

fn is_moment(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_)
    )
}

/// The value of an argument, if it is constant.
type Constant<'a> = Option<&'a ScalarValue>;

/// Returns the text that an argument is, if it is constant and not NULL.
fn constant_text<'a>(constants: &[Constant<'a>], at: usize) -> Option<&'a str> {
    constants.get(at).copied().flatten()?.try_as_str().flatten()
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
    /// May the last argument be given again and again?
    repeats: bool,
    returns: fn(&[DataType], &[Constant]) -> DataType,
    /// Looks at constant arguments while planning.
    check: fn(&[Constant]) -> thalweg_types::Result<()>,
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
            repeats: false,
            returns: |_, _| DataType::Utf8View,
            check: |_| Ok(()),
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

    /// Allows to give the last argument more than once.
    fn repeated(mut self) -> Function {
        self.signature = Signature::variadic_any(Volatility::Immutable);
        self.repeats = true;
        self
    }

    fn named(
        mut self,
        name: &'static str,
        returns: fn(&[DataType], &[Constant]) -> DataType,
    ) -> Function {
        (self.name, self.returns) = (name, returns);
        self
    }

    /// Looks at constant arguments while planning, so that a mistake in the query is found there.
    fn checked(mut self, check: fn(&[Constant]) -> thalweg_types::Result<()>) -> Function {
        self.check = check;
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

    /// Returns what each of `count` arguments must be.
    fn kinds(&self, count: usize) -> impl Iterator<Item = Kind> {
        let last = self.arguments.last().copied().unwrap_or(Kind::Any);
        let rest = if self.repeats { count.saturating_sub(self.arguments.len()) } else { 0 };
        self.arguments.iter().copied().chain(std::iter::repeat_n(last, rest))
    }

    fn check_kinds(&self, kinds: &[DataType]) -> Result<()> {
        let fewest = self.arguments.len() - self.optional;
        let most = if self.repeats { usize::MAX } else { self.arguments.len() };
        let fits = (fewest..=most).contains(&kinds.len())
            && self.kinds(kinds.len()).zip(kinds).all(|(wanted, kind)| wanted.takes(kind));
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
        self.check_kinds(kinds)?;
        Ok((self.returns)(kinds, &[]))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let kinds: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let pattern = self.pattern.and_then(|at| args.scalar_arguments.get(at).copied().flatten());
        if let Some(Some(text)) = pattern.and_then(|value| value.try_as_str()) {
            Pattern::new(text).map_err(wrap)?;
        }
        self.check_kinds(&kinds)?;
        (self.check)(args.scalar_arguments).map_err(wrap)?;
        let kind = (self.returns)(&kinds, args.scalar_arguments);
        Ok(Arc::new(Field::new(self.name, kind, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let columns = self.kinds(args.args.len()).zip(&args.args);
        let columns = columns.map(|(kind, value)| kind.given(value.to_array(rows)?));
        let kind = args.return_field.data_type();
        if rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(kind)));
        }
        let result = (self.body)(&columns.collect::<Result<Vec<_>>>()?)?;
        let result = if result.data_type() == kind { result } else { cast(&result, kind)? };
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
