"""Refusals, chat, labels, lists and errors in every language are no adverts; adverts are none."""

import pytest

from generator.screening.gates.chat import chatty

TALK = {
    "refuses the task": [
        "I cannot assist with this request",
        "I'm sorry, but I can't create that headline.",
        "As an AI language model, I do not have opinions",
        "Sorry, I am not able to write ads about that",
        "抱歉，我无法协助完成这个请求",
        "對不起，我不能提供此內容",
        "作为一个人工智能语言模型，我没有偏好",
        "申し訳ございませんが、そのリクエストにはお応えできません",
        "죄송합니다. 요청을 도와드릴 수 없습니다",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Als KI-Sprachmodell schreibe ich keine Werbung",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Je suis désolé, mais je ne peux pas répondre à cette demande.",
    ],
    "talks to whoever asked": [
        "Certainly! Here is a headline for your ad:",
        "Sure, here are three options:",
        "Here's one: Run light",
        "Here's another one: Run light",
        "Certainly! Coffee at home",
        "Here you go: Run light",
        "Gern geschehen, hier dein Slogan",
        "De nada: Toca hoy",
        "Run light. Let me know if you need more!",
        "好的，以下是为您撰写的标题：轻盈如风",
        "當然可以！這裡有三個標題供您參考",
        "希望这些标题对您有帮助！",
        "はい、以下が見出し案です：",
        "承知いたしました。こちらが広告文です",
        "물론이죠! 다음은 광고 제목입니다",
        "Gerne! Hier ist eine Überschrift für deine Anzeige: Bleib trocken",
        "¡Claro! Aquí tienes un titular: Toca hoy",
        "Bien sûr ! Voici un titre : Dormez mieux",
    ],
    "labels its answer": [
        'Headline: "Run light"',
        "Option 2: Run light",
        "标题：“轻盈如风”",
        "標題1：輕盈如風",
        "広告文：週末を走ろう",
        "제목: 주말엔 달리자",
        "Überschrift: Bleib trocken",
        "Titular: Toca hoy",
        "Titre : Dormez mieux",
        "Run light. Note: under 30 characters",
    ],
    "numbers or counts its answer": [
        "1. Run light",
        "2) Run light",
        "- Run light",
        "• 轻盈如风",
        "1、轻盈如风",
        "① 轻盈如风",
        "Run light (9 characters)",
        "轻盈如风，周末开跑（9个字）",
        "週末を走ろう（6文字）",
        "Bleib trocken (13 Zeichen)",
        "Toca hoy (8 caracteres)",
    ],
    "is an error, or written for machines": [
        "Error: 429 Too Many Requests",
        "Internal server error",
        "The model is overloaded. Please try again later",
        '{"headline": "Run light"}',
        '["Run light", "Run long"]',
        "Run light<|im_end|>",
        "请求过于频繁，请稍后再试",
        "エラーが発生しました",
        "오류가 발생했습니다",
        "[Brand Name] shoes for you",
        "【品牌名】跑鞋，轻盈如风",
        "null",
    ],
}
ADVERTS = [
    "Here's to slow mornings",
    "Here's one for the road",
    "Certainly softer",
    "Certainly. Softer than wool",
    "Sure-footed on wet rock",
    "Of course it's waterproof",
    "Sorry, Monday",
    "We can't wait to meet you",
    "Options for every budget",
    "Trail Shoes: 20% Off",
    "Run: the hills are waiting",
    "20% off this weekend: run now",
    "3-in-1 cleaner",
    "24/7 Support",
    "好的睡眠，从今晚开始",
    "当然要轻装上阵",
    "标题党？我们只讲轻",
    "198克轻量跑鞋，跑出新速度",
    "【周末特惠】疾风跑鞋5折起",
    "もちろん、軽い。",
    "여기 가벼운 신발이 있습니다",
    "Natürlich schön schlafen",
    "Tut mir leid, Montag",
    "¡Claro que sí!",
    "Por supuesto, sin prisas",
    "Bien sûr, c'est confortable",
    "Voici l'été",
    "-20 % jusqu'à dimanche",
    "Désolé, je dors",
]


@pytest.mark.parametrize(("why", "text"), [(w, t) for w, texts in TALK.items() for t in texts])
def test_what_a_model_says_around_an_answer_is_refused(why, text):
    assert chatty(text).why.startswith(f"{why}: ")


@pytest.mark.parametrize("text", ADVERTS)
def test_adverts_that_begin_as_talk_does_pass(text):
    assert chatty(text).why is None
