/// The extents of a tensor, outermost first; `[]` is a scalar.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public var dims: [Int]

  public init(_ dims: [Int]) { self.dims = dims }
  public init(arrayLiteral elements: Int...) { dims = elements }

  @inlinable public var rank: Int { dims.count }

  /// The number of elements. Readers of files check extents with `checkedCount` first.
  @inlinable public var count: Int {
    var product = 1
    for d in dims { product *= d }
    return product
  }

  /// The number of elements, or nil if an extent is negative or the product exceeds `limit`.
  public func checkedCount(limit: Int) -> Int? {
    var product = 1
    for d in dims {
      guard d >= 0 else { return nil }
      let (value, overflow) = product.multipliedReportingOverflow(by: d)
      if overflow { return nil }
      product = value
    }
    return product <= limit ? product : nil
  }

  /// Elements to step over for one step along each axis, row-major.
  public var strides: [Int] {
    var result = [Int](repeating: 1, count: dims.count)
    var step = 1
    for axis in dims.indices.reversed() {
      result[axis] = step
      step *= dims[axis]
    }
    return result
  }

  @inlinable public subscript(axis: Int) -> Int { dims[axis] }

  /// The axis counted from the end if negative; nil if out of range.
  public func axis(_ axis: Int) -> Int? {
    let resolved = axis < 0 ? axis + rank : axis
    return resolved >= 0 && resolved < rank ? resolved : nil
  }

  public static func + (a: Shape, b: Shape) -> Shape { Shape(a.dims + b.dims) }

  public var description: String { "[" + dims.map(String.init).joined(separator: ", ") + "]" }

  /// The common shape under multidirectional (numpy) broadcasting, or nil if there is none.
  public static func broadcast(_ a: Shape, _ b: Shape) -> Shape? {
    let rank = max(a.rank, b.rank)
    var dims = [Int](repeating: 1, count: rank)
    for i in 0..<rank {
      let x = i < rank - a.rank ? 1 : a.dims[i - (rank - a.rank)]
      let y = i < rank - b.rank ? 1 : b.dims[i - (rank - b.rank)]
      if x == y || y == 1 {
        dims[i] = x
      } else if x == 1 {
        dims[i] = y
      } else {
        return nil
      }
    }
    return Shape(dims)
  }

  /// For every element of `target` (row-major) the element of `self` that broadcasting puts there.
  /// Precondition: `self` broadcasts to `target`.
  public func broadcastIndices(to target: Shape) -> [Int32] {
    let own = strides
    var steps = [Int](repeating: 0, count: target.rank)
    for i in 0..<rank where dims[i] != 1 { steps[i + target.rank - rank] = own[i] }
    return target.stridedIndices(steps: steps)
  }

  /// For every element of `self` (row-major): `offset` plus the sum of coordinate times step.
  public func stridedIndices(steps: [Int], offset: Int = 0) -> [Int32] {
    let total = count
    if total == 0 { return [] }
    var result = [Int32]()
    result.reserveCapacity(total)
    var coordinate = [Int](repeating: 0, count: rank)
    var position = offset
    for _ in 0..<total {
      result.append(Int32(truncatingIfNeeded: position))
      var axis = rank - 1
      while axis >= 0 {
        coordinate[axis] += 1
        position += steps[axis]
        if coordinate[axis] < dims[axis] { break }
        position -= steps[axis] * dims[axis]
        coordinate[axis] = 0
        axis -= 1
      }
    }
    return result
  }
}
