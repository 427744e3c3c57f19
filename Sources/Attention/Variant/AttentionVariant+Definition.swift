extension AttentionVariant {
  /// Which heads a tensor parameter has entries for.
  public enum HeadAxis: Sendable, Hashable, BitwiseCopyable {
    /// One entry for all heads.
    case none
    /// An entry for each query head.
    case query
    /// An entry for each key/value head.
    case kv
  }

  /// What a variant's definition may say.
  public struct Definition {
    /// Whether weights are the softmax of the logits; if not, O = Σ sᵢ·vᵢ over what counts.
    public var usesSoftmax = true

    var functors: [Functor] = []
    var logitsExpression = Expression.score
    var maskExpression = Expression.constant(1)
    var declarations = Declarations()
    var parameters = VariantParameters()
  }

  /// Where a score or an element stands, in symbols.
  ///
  /// Query and output functors have no key, key and value functors no query; `dimension` belongs to
  /// functors on vectors.
  public struct Place: Sendable {
    /// The query's absolute position: kvLength − queryLength + its index among the new tokens.
    public var query: Symbol { Symbol(.position(.query)) }
    /// The key's absolute position, from 0.
    public var kv: Symbol { Symbol(.position(.kv)) }
    /// The query head.
    public var queryHead: Symbol { Symbol(.position(.queryHead)) }
    /// The key/value head.
    public var kvHead: Symbol { Symbol(.position(.kvHead)) }
    /// The request's number in the batch.
    public var request: Symbol { Symbol(.position(.request)) }
    /// The number of the request's new tokens.
    public var queryLength: Symbol { Symbol(.position(.queryLength)) }
    /// The number of the request's tokens that have keys.
    public var kvLength: Symbol { Symbol(.position(.kvLength)) }
    /// The number of the element in its vector, from 0.
    public var dimension: Symbol { Symbol(.position(.dimension)) }
    /// The number of elements of the vector.
    public var dimensionCount: Symbol { Symbol(.position(.dimensionCount)) }
  }
}

extension AttentionVariant.Definition {
  /// What becomes of a vector, element by element.
  public typealias VectorFunctor = (_ x: VectorSymbol, _ at: AttentionVariant.Place) -> Symbol

  /// Says what becomes of element `at.dimension` of a query, before the scale.
  public mutating func query(
    fileID: StaticString = #fileID, line: UInt = #line, _ transform: VectorFunctor
  ) {
    add(.query, transform(VectorSymbol(), .init()), fileID, line)
  }

  /// Says what becomes of element `at.dimension` of a key as it is read.
  public mutating func key(
    fileID: StaticString = #fileID, line: UInt = #line, _ transform: VectorFunctor
  ) {
    add(.key, transform(VectorSymbol(), .init()), fileID, line)
  }

  /// Says what becomes of element `at.dimension` of a value as it is read.
  public mutating func value(
    fileID: StaticString = #fileID, line: UInt = #line, _ transform: VectorFunctor
  ) {
    add(.value, transform(VectorSymbol(), .init()), fileID, line)
  }

  /// Says what becomes of element `at.dimension` of an output head, after normalisation.
  ///
  /// Applied once for each row, after partial states have been merged.
  public mutating func output(
    fileID: StaticString = #fileID, line: UInt = #line, _ transform: VectorFunctor
  ) {
    add(.output, transform(VectorSymbol(), .init()), fileID, line)
  }

  /// Says what becomes of a scaled score.
  public mutating func logits(
    fileID: StaticString = #fileID, line: UInt = #line,
    _ transform: (_ s: Symbol, _ at: AttentionVariant.Place) -> Symbol
  ) {
    logitsExpression = transform(Symbol(logitsExpression), .init()).expression
    declarations.logitsLocation = .init(fileID, line)
  }

  /// Says which scores count.
  public mutating func mask(
    fileID: StaticString = #fileID, line: UInt = #line,
    _ keeps: (_ at: AttentionVariant.Place) -> Condition
  ) {
    maskExpression = .make(.and, maskExpression, keeps(.init()).expression)
    declarations.maskLocation = .init(fileID, line)
  }

  /// Adds exp(`logit`) to the softmax denominator of every row: an attention sink.
  ///
  /// It has no value: it only takes weight from the others. The log-sum-exp contains it; a row that
  /// attends to nothing else is 0 with the logit as its log-sum-exp.
  public mutating func sink(
    fileID: StaticString = #fileID, line: UInt = #line,
    _ logit: (_ at: AttentionVariant.Place) -> Symbol
  ) {
    add(.sink, logit(.init()), fileID, line)
  }

  private mutating func add(
    _ kind: Functor.Kind, _ result: Symbol, _ fileID: StaticString, _ line: UInt
  ) {
    functors.append(
      Functor(kind: kind, expression: result.expression, location: .init(fileID, line)))
  }
}

// Parameters.
extension AttentionVariant.Definition {
  /// Declares a scalar parameter.
  public mutating func parameter(_ name: String, default value: Float) -> Symbol {
    declarations.scalars.append(.init(name: name, isNullable: false))
    parameters.scalars.append(value)
    return Symbol(.parameter(declarations.scalars.count - 1))
  }

  /// Declares a scalar parameter that is absent until ``AttentionVariant/setting(_:to:)`` sets it.
  public mutating func nullableParameter(_ name: String) -> NullableSymbol {
    declarations.scalars.append(.init(name: name, isNullable: true))
    parameters.scalars.append(nil)
    let number = declarations.scalars.count - 1
    return NullableSymbol(
      isPresent: Condition(.isPresent(.parameter(number))), value: Symbol(.parameter(number)))
  }

  /// Declares a vector with one entry for each query head.
  ///
  /// The symbol is the entry of the score's own head. The length is checked when a plan meets the
  /// model's number of heads.
  public mutating func perHead(_ name: String, _ values: [Float]) -> Symbol {
    declarations.vectors.append(name)
    parameters.vectors.append(values)
    return Symbol(.perHead(declarations.vectors.count - 1))
  }

  /// Declares a vector with one entry for each element of the vectors that functors transform.
  public mutating func perDimension(_ name: String, _ values: [Float]) -> Symbol {
    let number = declare(name, .only, .none, hasDimension: true, isNullable: false)
    parameters.tensors[number] = values
    return Symbol(.tensor(number, .only))
  }

  /// Declares a tensor with an entry for every token of every request, bound with each batch:
  /// `Σ kvLength × heads`, request after request.
  public mutating func perToken(
    _ name: String, heads: AttentionVariant.HeadAxis = .none, isNullable: Bool = false
  ) -> TokenSymbol {
    TokenSymbol(
      number: declare(name, .key, heads, hasDimension: false, isNullable: isNullable))
  }

  /// Declares a tensor with an entry for every new token, bound with each batch:
  /// `Σ queryLength × heads`.
  public mutating func perQuery(_ name: String, heads: AttentionVariant.HeadAxis = .none) -> Symbol
  {
    Symbol(
      .tensor(declare(name, .queryRow, heads, hasDimension: false, isNullable: false), .queryRow))
  }

  /// Declares a tensor with an entry for every request, bound with each batch: `requests × heads`.
  public mutating func perRequest(_ name: String, heads: AttentionVariant.HeadAxis = .none)
    -> Symbol
  {
    Symbol(
      .tensor(declare(name, .request, heads, hasDimension: false, isNullable: false), .request))
  }

  /// As `perQuery`; the functor takes another branch where no data is bound.
  public mutating func nullablePerQuery(
    _ name: String, heads: AttentionVariant.HeadAxis = .none
  ) -> NullableSymbol {
    nullable(declare(name, .queryRow, heads, hasDimension: false, isNullable: true), .queryRow)
  }

  /// As `perRequest`; the functor takes another branch where no data is bound.
  public mutating func nullablePerRequest(
    _ name: String, heads: AttentionVariant.HeadAxis = .none
  ) -> NullableSymbol {
    nullable(declare(name, .request, heads, hasDimension: false, isNullable: true), .request)
  }

  /// Declares a custom mask, bound with each batch.
  ///
  /// FlashInfer's convention: for each request `queryLength × kvLength` bits, row-major, packed
  /// little-endian; every request begins on a byte of its own.
  public mutating func bitMask(_ name: String, isNullable: Bool = false) -> MaskSymbol {
    declarations.masks.append(.init(name: name, isNullable: isNullable))
    return MaskSymbol(number: declarations.masks.count - 1)
  }

  private func nullable(_ number: Int, _ row: Expression.TensorRow) -> NullableSymbol {
    NullableSymbol(
      isPresent: Condition(.isPresent(.tensor(number))), value: Symbol(.tensor(number, row)))
  }

  private mutating func declare(
    _ name: String, _ rows: Expression.TensorRow, _ heads: AttentionVariant.HeadAxis,
    hasDimension: Bool, isNullable: Bool
  ) -> Int {
    declarations.tensors.append(
      .init(
        name: name, rows: rows, heads: heads, hasDimension: hasDimension, isNullable: isNullable))
    return declarations.tensors.count - 1
  }
}
