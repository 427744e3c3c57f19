// Written by scripts/tokenizer_fixtures.py; do not edit.
extension Fixtures {
  /// Words by the published expressions (regex).
  static let splits = #"""
    {"gpt-2":[{"text":"","words":[]},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{
    "text":"a","words":["a"]},{"text":"The river runs","words":["The"," river"," runs"]},{"text":
    " the wheel  turns\n","words":[" the"," wheel"," "," turns","\n"]},{"text":
    "It's DON'T we've I'LL 'tis","words":["It","'s"," DON","'","T"," we","'ve"," I","'","LL"," '",
    "tis"]},{"text":"10 200 3000 12345678901","words":["10"," 200"," 3000"," 12345678901"]},{
    "text":"x+=1;\ty==2 // note","words":["x","+=","1",";","\t","y","==","2"," //"," note"]},{
    "text":"pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{
    "text":"re\u0301sume\u0301","words":["re","\u0301","sume","\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0","b",
    "\u3000","c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!","\n","\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938","\u094d","\u0924","\u0947"," \u0926","\u0941","\u0928","\u093f","\u092f",
    "\u093e"]},{"text":"\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645"
    ,"words":["\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{
    "text":"\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," \u00b2"," \u2167",
    " \u0663\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'s",
    "\u2026\u2014\u201c","ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeff","bom","\u200b"]}],"smollm":[{"text":"","words":
    []},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]},{
    "text":"The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n"
    ,"words":[" the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":[
    "It","'s"," DON","'","T"," we","'ve"," I","'","LL"," '","tis"]},{"text":
    "10 200 3000 12345678901","words":["1","0"," ","2","0","0"," ","3","0","0","0"," ","1","2","3"
    ,"4","5","6","7","8","9","0","1"]},{"text":"x+=1;\ty==2 // note","words":["x","+=","1",";",
    "\t","y","==","2"," //"," note"]},{"text":"pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s",
    " de"," la"," rivi\u00e8re"]},{"text":"re\u0301sume\u0301","words":["re","\u0301","sume",
    "\u0301"]},{"text":"\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0","b",
    "\u3000","c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!","\n","\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938","\u094d","\u0924","\u0947"," \u0926","\u0941","\u0928","\u093f","\u092f",
    "\u093e"]},{"text":"\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645"
    ,"words":["\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{
    "text":"\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ",
    "\u0663","\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'s",
    "\u2026\u2014\u201c","ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeff","bom","\u200b"]}],"llama-bpe":[{"text":""
    ,"words":[]},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]
    },{"text":"The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n"
    ,"words":[" the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":[
    "It","'s"," DON","'T"," we","'ve"," I","'LL"," '","tis"]},{"text":"10 200 3000 12345678901"
    ,"words":["10"," ","200"," ","300","0"," ","123","456","789","01"]},{"text":
    "x+=1;\ty==2 // note","words":["x","+=","1",";","\ty","==","2"," //"," note"]},{"text":
    "pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{"text":
    "re\u0301sume\u0301","words":["re","\u0301sume","\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0b",
    "\u3000c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n","\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!\n\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938","\u094d\u0924","\u0947"," \u0926","\u0941\u0928","\u093f\u092f","\u093e"]
    },{"text":"\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":
    ["\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ",
    "\u0663\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'s",
    "\u2026\u2014\u201c","ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeffbom","\u200b"]}],"stablelm2":[{"text":"","words":
    []},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]},{
    "text":"The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n"
    ,"words":[" the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":[
    "It","'s"," DON","'T"," we","'ve"," I","'LL"," '","tis"]},{"text":"10 200 3000 12345678901"
    ,"words":["1","0"," ","2","0","0"," ","3","0","0","0"," ","1","2","3","4","5","6","7","8","9",
    "0","1"]},{"text":"x+=1;\ty==2 // note","words":["x","+=","1",";","\ty","==","2"," //"," note"
    ]},{"text":"pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{
    "text":"re\u0301sume\u0301","words":["re","\u0301sume","\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0b",
    "\u3000c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n","\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!\n\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938","\u094d\u0924","\u0947"," \u0926","\u0941\u0928","\u093f\u092f","\u093e"]
    },{"text":"\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":
    ["\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ","\u0663",
    "\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'s","\u2026\u2014\u201c",
    "ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeffbom","\u200b"]}],"qwen35":[{"text":"","words":[]}
    ,{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]},{"text":
    "The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n","words":[
    " the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":["It","'s",
    " DON","'T"," we","'ve"," I","'LL"," '","tis"]},{"text":"10 200 3000 12345678901","words":["1"
    ,"0"," ","2","0","0"," ","3","0","0","0"," ","1","2","3","4","5","6","7","8","9","0","1"]},{
    "text":"x+=1;\ty==2 // note","words":["x","+=","1",";","\ty","==","2"," //"," note"]},{"text":
    "pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{"text":
    "re\u0301sume\u0301","words":["re\u0301sume\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0b",
    "\u3000c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n","\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!\n\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938\u094d\u0924\u0947"," \u0926\u0941\u0928\u093f\u092f\u093e"]},{"text":
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":[
    "\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ","\u0663",
    "\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'s","\u2026\u2014\u201c",
    "ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeffbom","\u200b"]}],"gpt-4o":[{"text":"","words":[]}
    ,{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]},{"text":
    "The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n","words":[
    " the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":["It's",
    " DON'T"," we've"," I'LL"," '","tis"]},{"text":"10 200 3000 12345678901","words":["10"," ",
    "200"," ","300","0"," ","123","456","789","01"]},{"text":"x+=1;\ty==2 // note","words":["x",
    "+=","1",";","\ty","==","2"," //"," note"]},{"text":"pr\u00e8s de la rivi\u00e8re","words":[
    "pr\u00e8s"," de"," la"," rivi\u00e8re"]},{"text":"re\u0301sume\u0301","words":[
    "re\u0301sume\u0301"]},{"text":"\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0b",
    "\u3000c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n","\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!\n\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camel","Case"," ABCdef"]},{
    "text":"\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938\u094d\u0924\u0947"," \u0926\u0941\u0928\u093f\u092f\u093e"]},{"text":
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":[
    "\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ",
    "\u0663\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it's","\u2026\u2014\u201c"
    ,"ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeffbom","\u200b"]}],"tekken":[{"text":"","words":[]}
    ,{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]},{"text":
    "The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n","words":[
    " the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":["It","'s",
    " DON","'T"," we","'ve"," I","'LL"," '","tis"]},{"text":"10 200 3000 12345678901","words":["1"
    ,"0"," ","2","0","0"," ","3","0","0","0"," ","1","2","3","4","5","6","7","8","9","0","1"]},{
    "text":"x+=1;\ty==2 // note","words":["x","+=","1",";","\ty","==","2"," //"," note"]},{"text":
    "pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{"text":
    "re\u0301sume\u0301","words":["re\u0301sume\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0b",
    "\u3000c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n","\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!\n\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camel","Case"," ABCdef"]},{
    "text":"\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938\u094d\u0924\u0947"," \u0926\u0941\u0928\u093f\u092f\u093e"]},{"text":
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":[
    "\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ","\u0663",
    "\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'s","\u2026\u2014\u201c",
    "ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeffbom","\u200b"]}],"deepseek-v3":[{"text":""
    ,"words":[]},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]
    },{"text":"The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n"
    ,"words":[" the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":[
    "It","'s"," DON","'T"," we","'ve"," I","'LL"," '","tis"]},{"text":"10 200 3000 12345678901"
    ,"words":["10"," ","200"," ","300","0"," ","123","456","789","01"]},{"text":
    "x+=1;\ty==2 // note","words":["x","+=","1",";","\ty","==","2"," //"," note"]},{"text":
    "pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{"text":
    "re\u0301sume\u0301","words":["re\u0301sume\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42"," \ud83d\udc69",
    "\u200d","\ud83d\udcbb!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0b","\u3000c"]},{
    "text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n","\t"," x"]},{"text":"trailing   ","words":[
    "trailing","   "]},{"text":"!!!\n\nnew","words":["!!!\n\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," <","s",">"," </","s",">"," ["
    ,"CLS","]"," <","0","x","0","A",">"," <","unk",">"]},{"text":"\u2581 \u2581\u2581x","words":[
    "\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{
    "text":"HTTPServer camelCase ABCdef","words":["HTTPServer"," camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938\u094d\u0924\u0947"," \u0926\u0941\u0928\u093f\u092f\u093e"]},{"text":
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":[
    "\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ",
    "\u0663\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'s",
    "\u2026\u2014\u201c","ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeffbom","\u200b"]}],"deepseek-coder":[{"text":""
    ,"words":[]},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]
    },{"text":"The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n"
    ,"words":[" the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":[
    "It","'","s"," DON","'","T"," we","'","ve"," I","'","LL"," '","tis"]},{"text":
    "10 200 3000 12345678901","words":["1","0"," ","2","0","0"," ","3","0","0","0"," ","1","2","3"
    ,"4","5","6","7","8","9","0","1"]},{"text":"x+=1;\ty==2 // note","words":["x","+=","1",";",
    "\ty","==","2"," //"," note"]},{"text":"pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s",
    " de"," la"," rivi\u00e8re"]},{"text":"re\u0301sume\u0301","words":["re","\u0301","sume",
    "\u0301"]},{"text":"\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42 \ud83d\udc69",
    "\u200d","\ud83d\udcbb","!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0b","\u3000","c"]},
    {"text":"\r\n\r\n \n\t x","words":["\r","\n","\r","\n"," ","\n","\t"," x"]},{"text":
    "trailing   ","words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!","\n","\n","new"]
    },{"text":"<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|> <","s","> <","/","s",
    ">"," [","CLS","]"," <","0","x","0","A","> <","unk",">"]},{"text":"\u2581 \u2581\u2581x"
    ,"words":["\u2581"," ","\u2581\u2581","x"]},{"text":"\u0000\u0001\u007f","words":[
    "\u0000\u0001\u007f"]},{"text":"HTTPServer camelCase ABCdef","words":["HTTPServer",
    " camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938","\u094d","\u0924","\u0947"," ","\u0926","\u0941","\u0928","\u093f",
    "\u092f","\u093e"]},{"text":
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":[
    "\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ","\u0663",
    "\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'","s","\u2026\u2014\u201c"
    ,"ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeff","bom","\u200b"]}],"falcon":[{"text":"","words":
    []},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]},{
    "text":"The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n"
    ,"words":[" the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":[
    "It","'","s"," DON","'","T"," we","'","ve"," I","'","LL"," ","'","tis"]},{"text":
    "10 200 3000 12345678901","words":["10"," ","200"," ","300","0"," ","123","456","789","01"]},{
    "text":"x+=1;\ty==2 // note","words":["x","+=","1",";","\t","y","==","2"," ","//"," note"]},{
    "text":"pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{
    "text":"re\u0301sume\u0301","words":["re","\u0301","sume","\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb","!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0","b",
    "\u3000","c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!","\n","\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<|","end","|>"," ","<","s",">"," ","</","s",
    ">"," ","[","CLS","]"," ","<","0","x","0","A",">"," ","<","unk",">"]},{"text":
    "\u2581 \u2581\u2581x","words":["\u2581"," \u2581\u2581","x"]},{"text":"\u0000\u0001\u007f"
    ,"words":["\u0000\u0001\u007f"]},{"text":"HTTPServer camelCase ABCdef","words":["HTTPServer",
    " camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938","\u094d","\u0924","\u0947"," \u0926","\u0941","\u0928","\u093f","\u092f",
    "\u093e"]},{"text":"\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645"
    ,"words":["\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{
    "text":"\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," \u00b2"," \u2167",
    " \u0663\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it","'","s",
    "\u2026\u2014\u201c","ok","\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeff","bom","\u200b"]}],"viking":[{"text":"","words":
    []},{"text":" ","words":[" "]},{"text":"  ","words":["  "]},{"text":"a","words":["a"]},{
    "text":"The river runs","words":["The"," river"," runs"]},{"text":" the wheel  turns\n"
    ,"words":[" the"," wheel"," "," turns","\n"]},{"text":"It's DON'T we've I'LL 'tis","words":[
    "It's"," DON'T"," we've"," I'LL"," 'tis"]},{"text":"10 200 3000 12345678901","words":["1","0",
    " ","2","0","0"," ","3","0","0","0"," ","1","2","3","4","5","6","7","8","9","0","1"]},{"text":
    "x+=1;\ty==2 // note","words":["x+=","1",";","\t","y==","2"," //"," note"]},{"text":
    "pr\u00e8s de la rivi\u00e8re","words":["pr\u00e8s"," de"," la"," rivi\u00e8re"]},{"text":
    "re\u0301sume\u0301","words":["re\u0301sume\u0301"]},{"text":
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070","words":[
    "\u6c34\u8eca\u306f\u5ddd\u306e\u305d\u3070"]},{"text":
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438","words":[
    "\u043c\u0435\u043b\u044c\u043d\u0438\u0446\u0430"," \u0443"," \u0440\u0435\u043a\u0438"]},{
    "text":"\ud83d\ude42 \ud83d\udc69\u200d\ud83d\udcbb!","words":["\ud83d\ude42",
    " \ud83d\udc69\u200d\ud83d\udcbb","!"]},{"text":"a\u00a0b\u3000c","words":["a","\u00a0","b",
    "\u3000","c"]},{"text":"\r\n\r\n \n\t x","words":["\r\n\r\n \n\t"," x"]},{"text":"trailing   "
    ,"words":["trailing","   "]},{"text":"!!!\n\nnew","words":["!!!\n\n","new"]},{"text":
    "<|end|> <s> </s> [CLS] <0x0A> <unk>","words":["<","|","end","|",">"," <s>"," </s>"," [CLS]",
    " <","0","x","0","A>"," <unk>"]},{"text":"\u2581 \u2581\u2581x","words":["\u2581",
    " \u2581\u2581x"]},{"text":"\u0000\u0001\u007f","words":["\u0000\u0001\u007f"]},{"text":
    "HTTPServer camelCase ABCdef","words":["HTTPServer"," camelCase"," ABCdef"]},{"text":
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e","words":[
    "\u0928\u092e\u0938\u094d\u0924\u0947"," \u0926\u0941\u0928\u093f\u092f\u093e"]},{"text":
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645","words":[
    "\u0645\u0631\u062d\u0628\u0627"," \u0628\u0627\u0644\u0639\u0627\u0644\u0645"]},{"text":
    "\u00bd \u00b2 \u2167 \u0663\u0664","words":["\u00bd"," ","\u00b2"," ","\u2167"," ","\u0663",
    "\u0664"]},{"text":"it's\u2026\u2014\u201cok\u201d","words":["it's","\u2026",
    "\u2014\u201cok\u201d"]},{"text":
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ,"words":[
    "thethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethethe"
    ]},{"text":"\ufeffbom\u200b","words":["\ufeffbom\u200b"]}]}
    """#
}
