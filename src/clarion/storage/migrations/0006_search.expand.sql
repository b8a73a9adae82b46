-- Search: collections of documents. Databases get words (features/search/text.py), never texts: both find the same.

-- `top` is the position of the collection's log of changes: whoever holds this row is alone in the collection.
CREATE TABLE search_collection (
  tenant TEXT NOT NULL,
  -- Never used again. Numbers of documents are collection * 2^40 + next.
  collection BIGINT NOT NULL CHECK (collection BETWEEN 1 AND 4194303),
  name TEXT {bytewise} NOT NULL,
  -- Texts of JSON: {field: type}, [field].
  fields TEXT NOT NULL,
  facets TEXT NOT NULL,
  top BIGINT NOT NULL,
  documents BIGINT NOT NULL CHECK (documents >= 0),
  next BIGINT NOT NULL,
  created_ms BIGINT NOT NULL,
  -- Not NULL: nobody sees it any more; its documents are removed in slices, then this row.
  deleted_ms BIGINT,
  PRIMARY KEY (tenant, collection)
) {strict_rowless};
CREATE UNIQUE INDEX search_collection_number ON search_collection (collection);
CREATE UNIQUE INDEX search_collection_name ON search_collection (tenant, name) WHERE deleted_ms IS NULL;
CREATE INDEX search_collection_deleted ON search_collection (deleted_ms) WHERE deleted_ms IS NOT NULL;

-- `data` is the text of a JSON object, `access` of a list of tags. `off` is the change that made it what it is.
CREATE TABLE search_document (
  tenant TEXT NOT NULL,
  collection BIGINT NOT NULL,
  id TEXT {bytewise} NOT NULL,
  doc BIGINT NOT NULL,
  data TEXT NOT NULL,
  access TEXT NOT NULL,
  version BIGINT NOT NULL,
  off BIGINT NOT NULL,
  changed_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, collection, id)
) {strict_rowless};
CREATE UNIQUE INDEX search_document_number ON search_document (tenant, doc);

-- Values of fields: texts in `txt`, all others in `num`. The field '' has the access tags, only where there are some.
CREATE TABLE search_value (
  tenant TEXT NOT NULL,
  collection BIGINT NOT NULL,
  field TEXT NOT NULL,
  txt TEXT {bytewise} NOT NULL,
  num DOUBLE PRECISION NOT NULL,
  doc BIGINT NOT NULL,
  PRIMARY KEY (tenant, collection, field, txt, num, doc)
) {strict_rowless};
CREATE INDEX search_value_of ON search_value (tenant, doc, field, txt, num);

-- The words of a document in their order, with a space before and behind each.
CREATE TABLE search_text (
  tenant TEXT NOT NULL,
  collection BIGINT NOT NULL,
  doc BIGINT NOT NULL,
  words TEXT NOT NULL,
  PRIMARY KEY (tenant, doc)
) {strict_rowless};

-- What changed, for those who follow: a document before and after, as in search_document; NULL: there was none, or is none.
CREATE TABLE search_change (
  tenant TEXT NOT NULL,
  collection BIGINT NOT NULL,
  off BIGINT NOT NULL,
  id TEXT NOT NULL,
  before TEXT,
  access_before TEXT,
  data TEXT,
  access TEXT,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, collection, off)
) {strict_rowless};

-- only: sqlite
-- Words are runs of a-z, 0-9 and what is not ASCII: as this tokenizer cuts.
CREATE VIRTUAL TABLE search_words USING fts5(words, content='', contentless_delete=1, detail='none', tokenize='ascii');
-- only: postgresql
CREATE INDEX search_text_words ON search_text
  USING gin (array_to_tsvector(string_to_array(trim(words) || ' =' || CAST(collection AS TEXT), ' ')));
-- both
