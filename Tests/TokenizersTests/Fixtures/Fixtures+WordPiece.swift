// Written by scripts/tokenizer_fixtures.py; do not edit.
extension Fixtures {
  /// WordPiece (tokenizers).
  static let wordPiece = #"""
    {"tokenizer":{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":0
    ,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false
    ,"special":true},{"id":1,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false
    ,"normalized":false,"special":true},{"id":2,"content":"[CLS]","single_word":false,"lstrip":
    false,"rstrip":false,"normalized":false,"special":true},{"id":3,"content":"[SEP]"
    ,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}]
    ,"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true
    ,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"}
    ,"post_processor":{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]},"decoder":{
    "type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":
    "[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[PAD]":0
    ,"[UNK]":1,"[CLS]":2,"[SEP]":3,"'":4,"(":5,")":6,"+":7,",":8,"-":9,".":10,"/":11,"0":12,"1":13
    ,"2":14,"3":15,"4":16,":":17,";":18,"=":19,"[":20,"]":21,"_":22,"a":23,"b":24,"c":25,"d":26
    ,"e":27,"f":28,"g":29,"h":30,"i":31,"l":32,"m":33,"n":34,"o":35,"p":36,"r":37,"s":38,"t":39
    ,"u":40,"v":41,"w":42,"x":43,"y":44,"{":45,"}":46,"\u00df":47,"\u0430":48,"\u0434":49
    ,"\u0435":50,"\u0438":51,"\u043a":52,"\u043b":53,"\u043c":54,"\u043d":55,"\u043e":56,"\u0440":
    57,"\u0442":58,"\u0443":59,"\u0446":60,"\u0447":61,"\u044c":62,"\u3002":63,"\u3042":64
    ,"\u3044":65,"\u3059":66,"\u305d":67,"\u305f":68,"\u306b":69,"\u306e":70,"\u306f":71,"\u307e":
    72,"\u308a":73,"\u51b7":74,"\u5ddd":75,"\u6c34":76,"\u8eca":77,"##\u0435":78,"##\u043a":79
    ,"##\u0430":80,"##i":81,"##v":82,"##e":83,"##r":84,"##a":85,"##d":86,"##l":87,"##h":88,"##0":
    89,"##m":90,"##s":91,"##u":92,"##\u00df":93,"##t":94,"##w":95,"##o":96,"##g":97,"##n":98
    ,"##\u305d":99,"##\u306f":100,"##\u306b":101,"##\u3042":102,"##\u308a":103,"##\u307e":104
    ,"##\u3059":105,"##f":106,"##\u3044":107,"##\u043b":108,"##\u044c":109,"##\u043d":110
    ,"##\u0438":111,"##\u0446":112,"##\u0447":113,"##\u0442":114,"##p":115,"##\u0434":116
    ,"##\u043e":117,"##x":118,"##y":119,"##he":120,"the":121,"##nd":122,"and":123,"it":124,"##er":
    125,"##es":126,"##rn":127,"in":128,"whe":129,"##el":130,"##urn":131,"wheel":132,"fo":133,"on":
    134,"st":135,"th":136,"to":137,"turn":138,"##il":139,"##in":140,"##as":141,"##at":142,"##00":
    143,"for":144,"de":145,"is":146,"mo":147,"mil":148,"ne":149,"of":150,"ri":151,"ti":152,"was":
    153,"\u043c\u0435":154,"\u0440\u0435":155,"##ver":156,"##en":157,"##mes":158,"##un":159
    ,"##ge":160,"sto":161,"that":162,"mill":163,"times":164,"\u0440\u0435\u043a":165,"10":166
    ,"20":167,"300":168,"400":169,"am":170,"be":171,"br":172,"ch":173,"co":174,"di":175,"do":176
    ,"el":177,"es":178,"fl":179,"gat":180,"he":181,"hu":182,"if":183,"le":184,"la":185,"mu":186
    ,"ol":187,"op":188,"pr":189,"pas":190,"re":191,"ra":192,"run":193,"sl":194,"tw":195,"us":196
    ,"und":197,"ve":198,"we":199,"\u0442\u0435":200,"\u305f\u3044":201,"\u306e\u305d":202
    ,"##\u0435\u043d":203,"##\u0435\u0442":204,"##id":205,"##ier":206,"##vier":207,"##ee":208
    ,"##eh":209,"##rr":210,"##rd":211,"##ren":212,"##ree":213,"##al":214,"##ard":215,"##dren":216
    ,"##le":217,"##lin":218,"##hle":219,"##se":220,"##u\u00df":221,"##ual":222,"##ulin":223
    ,"##turn":224,"##ow":225,"##gin":226,"##ne":227,"##nge":228,"##\u306f\u306b":229}}},"cases":[{
    "text":"","ids":[],"decoded":""},{"text":" ","ids":[],"decoded":""},{"text":"  ","ids":[]
    ,"decoded":""},{"text":"a","ids":[23],"decoded":"a"},{"text":"The river runs","ids":[121,151,
    156,193,91],"decoded":"the river runs"},{"text":" the wheel  turns\n","ids":[121,132,138,91]
    ,"decoded":"the wheel turns"},{"text":"It's DON'T we've I'LL 'tis","ids":[124,4,38,176,98,4,39
    ,199,4,198,31,4,32,87,4,152,91],"decoded":"it ' s don ' t we ' ve i ' ll ' tis"},{"text":
    "10 200 3000 12345678901","ids":[166,167,89,168,89,1],"decoded":"10 200 3000 [UNK]"},{"text":
    "x+=1;\ty==2 // note","ids":[43,7,19,13,18,44,19,19,14,11,11,34,96,94,83],"decoded":
    "x + = 1 ; y = = 2 / / note"},{"text":"pr\u00e8s de la rivi\u00e8re","ids":[189,126,145,185,
    151,207,83],"decoded":"pres de la riviere"},{"text":"re\u0301sume\u0301","ids":[191,91,92,90,
    83],"decoded":"resume"},{"text":"\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","ids":[76,77,71,
    75,202,100],"decoded":"\u6c34 \u8eca \u306f \u5ddd \u306e\u305d\u306f"},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","ids":[154,
    108,109,110,111,112,80,59,165,111],"decoded":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438"},{"text":
    "\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","ids":[1,1,1],"decoded":"[UNK] [UNK] [UNK]"},{
    "text":"a\u00a0b\u3000c","ids":[23,24,25],"decoded":"a b c"},{"text":"\r\n\r\n \n\t x","ids":[
    43],"decoded":"x"},{"text":"trailing   ","ids":[39,84,85,139,140,97],"decoded":"trailing"},{
    "text":"!!!\n\nnew","ids":[1,1,1,149,95],"decoded":"[UNK] [UNK] [UNK] new"},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","ids":[1,1,27,122,1,1,1,38,1,1,11,38,1,20,25,87,91,21,1,
    12,118,89,85,1,1,1,1],"decoded":
    "[UNK] [UNK] end [UNK] [UNK] [UNK] s [UNK] [UNK] / s [UNK] [ cls ] [UNK] 0x0a [UNK] [UNK] [UNK] [UNK]"
    },{"text":"\u2581 \u2581\u2581x","ids":[1,1],"decoded":"[UNK] [UNK]"},{"text":
    "\u0000\u0001\u007f","ids":[],"decoded":""},{"text":"HTTPServer camelCase ABCdef","ids":[30,94
    ,94,115,220,84,156,1,1],"decoded":"httpserver [UNK] [UNK]"},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","ids":[1,1]
    ,"decoded":"[UNK] [UNK]"},{"text":
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","ids":[1,1]
    ,"decoded":"[UNK] [UNK]"},{"text":"\u00bd \u00b2 \u2167 \u0663\u0664","ids":[1,1,1,1]
    ,"decoded":"[UNK] [UNK] [UNK] [UNK]"},{"text":"it's\u2026\u2014\u201cok\u201d","ids":[124,4,38
    ,1,1,1,1,1],"decoded":"it ' s [UNK] [UNK] [UNK] [UNK] [UNK]"},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"ids":[1],"decoded":"[UNK]"},{"text":"\ufeffbom\u200b","ids":[24,96,90],"decoded":"bom"}]
    ,"withSpecial":[2,121,151,156,3]}
    """#
}
