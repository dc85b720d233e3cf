//! What a struct becomes: a reader and a writer of columns, with a part for each field.
//!
//! Both are generic over the types of their parts, and only the implementations name them: so what the
//! compiler has against a field is said at the field.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{DeriveInput, Result, Type};

use crate::field::{Field, fields};

/// The names that the made code is put together from, one for each field.
struct Parts<'a> {
    record: &'a Ident,
    fields: Vec<&'a Ident>,
    kinds: Vec<&'a Type>,
    /// The types of the fields, as values.
    values: Vec<TokenStream>,
    /// The parameters of reader and writer.
    parameters: Vec<Ident>,
}

/// Returns the implementation of `Record`.
pub(crate) fn record(input: &DeriveInput) -> Result<TokenStream> {
    let fields = fields(input)?;
    let parts = Parts {
        record: &input.ident,
        fields: fields.iter().map(|field| field.ident).collect(),
        kinds: fields.iter().map(|field| field.kind).collect(),
        values: fields.iter().map(Field::value).collect(),
        parameters: (0..fields.len()).map(|number| format_ident!("P{number}")).collect(),
    };
    let columns: Vec<_> = fields.iter().map(|field| &field.column).collect();
    let Parts { record, values, .. } = &parts;
    let (reader, writer) = (parts.reader(), parts.writer());
    Ok(quote! {
        #[allow(missing_docs, unreachable_pub)]
        const _: () = {
            use ::thalweg::derived as made;

            impl made::Record for #record {
                type Rows = Reader<#(#values::Reader),*>;
                type Columns = Writer<#(#values::Writer),*>;

                fn fields() -> ::std::vec::Vec<made::Field> {
                    ::std::vec![#(#values::field(#columns)),*]
                }

                fn schema() -> made::SchemaRef {
                    static SCHEMA: ::std::sync::OnceLock<made::SchemaRef> = ::std::sync::OnceLock::new();
                    SCHEMA.get_or_init(made::schema::<#record>).clone()
                }
            }

            #reader
            #writer
        };
    })
}

impl Parts<'_> {
    fn reader(&self) -> TokenStream {
        let Parts { record, fields, kinds, values, parameters } = self;
        quote! {
            pub struct Reader<#(#parameters),*> {
                #(#fields: #parameters),*
            }

            impl made::ReadRows<#record> for Reader<#(#values::Reader),*> {
                fn open(
                    columns: &[made::ArrayRef],
                    needed: ::std::option::Option<&made::NullBuffer>,
                ) -> made::Result<Self> {
                    let mut columns = columns.iter();
                    ::std::result::Result::Ok(Reader {
                        #(#fields: made::open::<#kinds>(
                            columns.next(), ::std::stringify!(#fields), needed,
                        )?),*
                    })
                }

                #[inline]
                fn get(&self, row: usize) -> #record {
                    #record { #(#fields: made::Reader::get(&self.#fields, row)),* }
                }

                #[inline]
                fn fill(&self, row: usize, record: &mut #record) {
                    #(made::Reader::fill(&self.#fields, row, &mut record.#fields);)*
                }
            }
        }
    }

    fn writer(&self) -> TokenStream {
        let Parts { record, fields, kinds, values, parameters } = self;
        quote! {
            pub struct Writer<#(#parameters),*> {
                #(#fields: #parameters),*
            }

            impl made::WriteRows<#record> for Writer<#(#values::Writer),*> {
                fn with_capacity(rows: usize) -> Self {
                    Writer { #(#fields: made::Writer::<#kinds>::with_capacity(rows)),* }
                }

                #[inline]
                fn push(&mut self, record: &#record) {
                    #(made::Writer::push(&mut self.#fields, &record.#fields);)*
                }

                fn push_missing(&mut self) {
                    #(made::Writer::<#kinds>::push_missing(&mut self.#fields);)*
                }

                fn finish(&mut self) -> ::std::vec::Vec<made::ArrayRef> {
                    ::std::vec![#(made::Writer::<#kinds>::finish(&mut self.#fields)),*]
                }
            }
        }
    }
}
