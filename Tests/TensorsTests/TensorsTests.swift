import Tensors
import Testing

@Suite struct TensorsTests {
  @Test func bfloat16RoundsToNearestEven() {
    #expect(Float(BFloat16(1)) == 1)
    #expect(Float(BFloat16(1 + 0x1p-8)) == 1)  // tie to even
    #expect(Float(BFloat16(1 + 3 * 0x1p-8)) == 1 + 0x1p-6)
    #expect(Float(BFloat16(.greatestFiniteMagnitude)) == .infinity)
    #expect(Float(BFloat16(-.infinity)) == -.infinity)
    #expect(Float(BFloat16(.nan)).isNaN)
    #expect(Float(BFloat16(Float(bitPattern: 0x7F80_0001))).isNaN)
  }

  @Test(arguments: ElementType.allCases)
  func rowBytes(_ type: ElementType) {
    #expect(type.byteCount(of: 0) == 0)
    #expect(type.byteCount(of: 512) == 512 / type.blockLength * type.blockBytes)
    #expect(type.byteCount(of: -type.blockLength) == nil)
    #expect(type.byteCount(of: .max / 256 * 256) == nil || type.blockBytes <= type.blockLength)
    if type.isQuantized { #expect(type.byteCount(of: type.blockLength + 1) == nil) }
  }

  @Test func raggedIndex() throws {
    let index = try RaggedIndex(lengths: [0, 7, 0, 777])
    #expect(index.offsets == [0, 0, 7, 7, 784])
    #expect(index[1] == 0..<7)
    #expect(index.total == 784)
    #expect(throws: RaggedIndex.Invalid.negativeLength(index: 1, value: -1)) {
      try RaggedIndex(lengths: [1, -1])
    }
    #expect(throws: RaggedIndex.Invalid.tooLong(index: 2, value: .max)) {
      try RaggedIndex(lengths: [1, 0, .max, 1])
    }
    #expect(throws: RaggedIndex.Invalid.negativeLength(index: 2, value: -9)) {
      try RaggedIndex(lengths: [.max, 0, -9])
    }
    #expect(throws: RaggedIndex.Invalid.decreasing(index: 2, value: 1, previous: 2)) {
      try RaggedIndex(offsets: [0, 2, 1])
    }
    #expect(throws: RaggedIndex.Invalid.firstOffset(nil)) { try RaggedIndex(offsets: []) }
  }

  @Test func alignedBufferIsAlignedAndZeroed() {
    for size in [0, 1, 63, 4096, 3 << 20] {
      let buffer = AlignedBuffer(byteCount: size)
      #expect(UInt(bitPattern: buffer.bytes.baseAddress) % 64 == 0)
      #expect(buffer.bytes.prefix(size).allSatisfy { $0 == 0 })
    }
    #expect(AlignedBuffer(trying: 1 << 60) == nil)
  }
}
