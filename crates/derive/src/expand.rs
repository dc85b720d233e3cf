//! What a struct becomes: a reader and a writer of columns, with a part for each field.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Result};

use crate::field::{Field, fields};

/// Returns the implementation of `Record`.
pub(crate) fn record(input: &DeriveInput) -> Result<TokenStream> {
    let fields = fields(input)?;
    let record = &input.ident;
    let (kinds, columns): (Vec<_>, Vec<_>) =
        fields.iter().map(|field| (field.kind, &field.column)).unzip();
    let (reader, writer) = (reader(input, &fields), writer(input, &fields));
    Ok(quote! {
        #[allow(missing_docs, unreachable_pub)]
        const _: () = {
            use ::thalweg::derived as made;

            impl made::Record for #record {
                type Rows = Reader;
                type Columns = Writer;

                fn fields() -> ::std::vec::Vec<made::Field> {
                    ::std::vec![#(<#kinds as made::Value>::field(#columns)),*]
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

fn reader(input: &DeriveInput, fields: &[Field<'_>]) -> TokenStream {
    let record = &input.ident;
    let names: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let kinds: Vec<_> = fields.iter().map(|field| field.kind).collect();
    quote! {
        pub struct Reader {
            #(#names: <#kinds as made::Value>::Reader),*
        }

        impl made::ReadRows<#record> for Reader {
            fn open(
                columns: &[made::ArrayRef],
                needed: ::std::option::Option<&made::NullBuffer>,
            ) -> made::Result<Self> {
                let mut columns = columns.iter();
                ::std::result::Result::Ok(Reader {
                    #(#names: made::open::<#kinds>(
                        columns.next(), ::std::stringify!(#names), needed,
                    )?),*
                })
            }

            #[inline]
            fn get(&self, row: usize) -> #record {
                #record { #(#names: made::Reader::get(&self.#names, row)),* }
            }

            #[inline]
            fn fill(&self, row: usize, record: &mut #record) {
                #(made::Reader::fill(&self.#names, row, &mut record.#names);)*
            }
        }
    }
}

fn writer(input: &DeriveInput, fields: &[Field<'_>]) -> TokenStream {
    let record = &input.ident;
    let names: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let kinds: Vec<_> = fields.iter().map(|field| field.kind).collect();
    quote! {
        pub struct Writer {
            #(#names: <#kinds as made::Value>::Writer),*
        }

        impl made::WriteRows<#record> for Writer {
            fn with_capacity(rows: usize) -> Self {
                Writer { #(#names: made::Writer::<#kinds>::with_capacity(rows)),* }
            }

            #[inline]
            fn push(&mut self, record: &#record) {
                #(made::Writer::push(&mut self.#names, &record.#names);)*
            }

            fn push_missing(&mut self) {
                #(made::Writer::<#kinds>::push_missing(&mut self.#names);)*
            }

            fn finish(&mut self) -> ::std::vec::Vec<made::ArrayRef> {
                ::std::vec![#(made::Writer::<#kinds>::finish(&mut self.#names)),*]
            }
        }
    }
}
